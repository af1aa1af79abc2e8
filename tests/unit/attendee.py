"""A machine without a machine: real shells at real terminals, on this box."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.rehearsal.leash import Leash, leash
from labkit.rehearsal.terminal import Terminal

# What ssh does for a terminal on a machine, done here.
SHELL = (sys.executable, "-c", "import pty; pty.spawn(['bash', '--norc', '-i'])")
# A program that has a terminal of its own, and so repeats what is typed, as docker run -it.
INNER = """import os, pty, sys
os.environ["PS1"] = "root@f00:\\\\w# "
os.environ["HOME"] = "/nowhere"
os.chdir("/")
sys.exit(os.waitstatus_to_exitcode(pty.spawn(["bash", "--norc", "--noprofile"])))
"""


class Box:
    """What the rehearsal asks of a machine, in a folder that is the attendee's home."""

    name, attendee, mesh, lost = "vm1", "student", False, ""

    def __init__(self, home: Path, held: Leash) -> None:
        self.home, self._held = home, held
        (home / "inner.py").write_text(INNER)

    def terminal(self) -> Terminal:
        environment = {**os.environ, "HOME": str(self.home), "PS1": "student@vm1:~$ "}
        return Terminal(SHELL, environment, self._held)

    def write(self, file: str, content: str) -> str:
        try:
            (self.home / file).write_text(content)
        except OSError as error:
            return str(error)
        return ""

    def answers(self) -> None:
        """Be there."""


@contextmanager
def box(home: Path) -> Iterator[Box]:
    with leash(lambda: False) as held:
        yield Box(home, held)
