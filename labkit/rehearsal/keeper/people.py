"""Who works on a machine just now, labkit's own sessions and containers not counting."""

import os
import pwd
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from labkit.rehearsal.keeper.engine import ask
from labkit.rehearsal.keeper.holdings import CHECK

# The terminal that a rehearsal's login shells begin with: by it they are known again. Where
# the network was cut, they may live on for hours.
SESSION = "labkit-rehearsal"


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
    # The eldest of our ancestors is sshd's process for this very connection.
    ours = Process(os.getpid()).line()[-1:]
    sessions = [one for one in processes() if one.is_of(account) and ours[0] not in one.line()]
    if sessions:
        yield f"{attendee} is logged in: {', '.join(sorted({one.name for one in sessions}))}"


def end_own_sessions(attendee: str) -> None:
    """End what is left of the attendee's login shells in a rehearsal that was cut off."""
    account = pwd.getpwnam(attendee).pw_uid
    marked = {
        one.number for one in processes() if one.owner == account and one.terminal_is(SESSION)
    }
    for one in processes():
        if marked.intersection(one.line()):
            with suppress(ProcessLookupError):
                os.kill(one.number, signal.SIGKILL)


def processes() -> list["Process"]:
    """Return all processes that are seen from here."""
    return [Process(int(one.name)) for one in Path("/proc").iterdir() if one.name.isdigit()]


class Process:
    """A process as /proc shows it (proc_pid_stat(5)); one that is gone belongs to nobody."""

    def __init__(self, number: int) -> None:
        self.number, self.name = number, ""
        self.parent = self.terminal = 0
        self.owner = -1
        self._place = Path("/proc") / str(number)
        try:
            name, _, rest = (self._place / "stat").read_text(errors="replace").rpartition(")")
            # In a container the same number is somebody else.
            if (self._place / "ns" / "pid").readlink() == Path("/proc/self/ns/pid").readlink():
                self.owner = self._place.stat().st_uid
        except OSError:
            return
        fields = rest.split()
        self.name = name.partition("(")[2]
        self.parent, self.terminal = int(fields[1]), int(fields[4])

    def is_of(self, account: int) -> bool:
        """Tell whether it is somebody's session: sshd's, or anything at a terminal."""
        return self.owner == account and (self.terminal != 0 or self.name.startswith("sshd"))

    def terminal_is(self, name: str) -> bool:
        """Tell which terminal it was started for."""
        try:
            return f"TERM={name}".encode() in (self._place / "environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def line(self) -> list[int]:
        """Return it and its ancestors, but not the first process and its children."""
        line, one = [], self
        while one.parent > 1:
            line.append(one.number)
            one = Process(one.parent)
        return line or [self.number]
