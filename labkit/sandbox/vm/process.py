"""The QEMU process of a machine: started, found again, ended, and never taken for another's."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.errors import ControllerError
from labkit.sandbox.vm.hardware import CONSOLE, PID, PROGRAM
from labkit.sandbox.vm.monitor import Monitor

# What a machine's state is called, in Docker's words as far as there are any.
RUNNING, PAUSED, FROZEN, EXITED = "running", "paused", "frozen", "exited"

_SECONDS_TO_START = 60
_SECONDS_TO_END = 5
# On a busy box; what is not awake by then is ended.
_SECONDS_TO_WAKE = 30
_PAUSE = 0.05


def start(folder: Path, command: Sequence[str]) -> None:
    """
    Start a machine in its folder; it outlives us.

    Raises:
        ControllerError: QEMU refused; the message says why.
    """
    try:
        # No pipe of ours, which the machine would hold open for as long as it lives.
        with (folder / "qemu.log").open("w+") as log:
            code = subprocess.run(
                command,
                cwd=folder,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=_SECONDS_TO_START,
            ).returncode
            log.seek(0)
            said = log.read()
    except subprocess.TimeoutExpired:
        code, said = -1, f"silent for {_SECONDS_TO_START} s"
    if code != 0:
        end = "\n".join(said.strip().splitlines()[-4:])
        raise ControllerError(
            f"QEMU did not start {folder.name}: {end}",
            hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
        )


def pid(folder: Path) -> int:
    """
    Return the number of the machine's process, 0 if it has none.

    The number in the file may be another process's by now: ours has that file among its
    arguments.
    """
    try:
        number = int((folder / PID).read_text())
        arguments = Path(f"/proc/{number}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return 0
    ours = (
        Path(os.fsdecode(arguments[0])).name == PROGRAM and os.fsencode(folder / PID) in arguments
    )
    return number if ours else 0


def state(folder: Path) -> str:
    """Return how the machine is, as its process says; FROZEN if that says nothing."""
    if not pid(folder):
        return EXITED
    try:
        with Monitor(folder) as monitor:
            told = str(monitor.ask("query-status")["status"])
    except OSError:
        return FROZEN if pid(folder) else EXITED
    return told if told in (RUNNING, PAUSED) else PAUSED


def wake(folder: Path) -> bool:
    """Let a machine go on that was paused, or whose process was stopped; say whether it does."""
    number = pid(folder)
    if not number:
        return False
    try:
        os.kill(number, signal.SIGCONT)
        with Monitor(folder, seconds=_SECONDS_TO_WAKE) as monitor:
            monitor.ask("cont")
    except OSError:
        return False
    return True


def end(folder: Path) -> bool:
    """End the machine's process, as if its power were cut, and say whether there was one."""
    number = pid(folder)
    deadline = time.monotonic() + _SECONDS_TO_END
    sent: signal.Signals | None = None
    while pid(folder):
        wanted = signal.SIGKILL if time.monotonic() > deadline else signal.SIGTERM
        if wanted is not sent:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, wanted)
                # One that was stopped takes no notice before it goes on.
                os.kill(number, signal.SIGCONT)
            sent = wanted
        time.sleep(_PAUSE)
    return number > 0


def last_words(folder: Path) -> str:
    """Return the end of what the machine wrote to its console."""
    try:
        lines = (folder / CONSOLE).read_text(errors="replace").split("\n")
    except OSError:
        return ""
    return "\n".join([line.strip() for line in lines if line.strip()][-4:])
