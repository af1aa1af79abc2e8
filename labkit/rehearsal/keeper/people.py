"""Who works on a machine just now, labkit's own sessions and containers not counting."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

from labkit.rehearsal.keeper.engine import ask
from labkit.rehearsal.keeper.holdings import CHECK


def busy(attendee: str) -> Iterator[str]:
    """Yield who or what is at work: running containers, and the attendee's own terminals."""
    running = [
        one["Names"][0].lstrip("/")
        for one in ask("GET", "/containers/json")
        if CHECK not in one["Labels"]
    ]
    if running:
        yield f"containers run: {', '.join(sorted(running))}"
    account = pwd.getpwnam(attendee).pw_uid
    sessions = [one for one in map(_Process, _processes()) if one.is_of(account)]
    if sessions:
        yield f"{attendee} is logged in: {', '.join(sorted({one.name for one in sessions}))}"


def _processes() -> Iterator[int]:
    for one in Path("/proc").iterdir():
        if one.name.isdigit():
            yield int(one.name)


class _Process:
    """A process as /proc shows it (proc_pid_stat(5)); one that is gone belongs to nobody."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, ""
        self.parent = self.terminal = 0
        self.owner = -1
        place = Path("/proc") / str(number)
        try:
            name, _, rest = (place / "stat").read_text(errors="replace").rpartition(")")
            # In a container the same number is somebody else.
            if (place / "ns" / "pid").readlink() == Path("/proc/self/ns/pid").readlink():
                self.owner = place.stat().st_uid
        except OSError:
            return
        fields = rest.split()
        self.name = name.partition("(")[2]
        self.parent, self.terminal = int(fields[1]), int(fields[4])

    def is_of(self, account: int) -> bool:
        """Tell whether it is somebody's session: sshd's, or anything at a terminal."""
        return (
            self.owner == account
            and (self.terminal != 0 or self.name.startswith("sshd"))
            and not _own_session() & set(_line(self.number))
        )


def _line(number: int) -> list[int]:
    """Return a process and its ancestors, but not the first process and its children."""
    line = []
    while number > 1 and (parent := _Process(number).parent) > 1:
        line.append(number)
        number = parent
    return line


def _own_session() -> set[int]:
    """Return the eldest of our own ancestors, sshd's process for this very connection."""
    return set(_line(os.getpid())[-1:])
