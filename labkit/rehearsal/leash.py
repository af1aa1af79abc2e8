"""What ties the terminals to the run: they end with it, however it ends."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# ssh at a terminal does not end when nobody types any more. The leader of its process group
# reads from a pipe of labkit's, and takes the whole group with it when that one ends.
LEADER = ("sh", "-c", "cat >/dev/null; kill 0")


@dataclass(frozen=True, slots=True)
class Leash:
    """The process group that terminals are started in, and whether all is to stop."""

    group: int
    stopped: Callable[[], bool]


@contextmanager
def leash(stopped: Callable[[], bool]) -> Iterator[Leash]:
    """Hold the terminals until the context ends, or labkit does, even if it is killed."""
    with subprocess.Popen(LEADER, stdin=subprocess.PIPE, process_group=0) as leader:
        yield Leash(leader.pid, stopped)
