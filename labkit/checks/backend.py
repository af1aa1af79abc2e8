"""testinfra's way to a machine through labkit's own connection."""

import shlex
from collections.abc import Callable
from typing import Any

from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from labkit.checks.line import PATIENCE_TO_ANSWER, Line


class OverLine(BaseBackend):  # type: ignore[misc] # testinfra's types are not read
    """Runs what testinfra asks for over a shared line, as root or as someone else."""

    NAME = "labkit"

    def __init__(self, name: str, line: Line, wrap: Callable[[str], str]) -> None:
        super().__init__(name)
        self._line = line
        self._wrap = wrap

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a line of sh; `stdin` (bytes) and `limit` (seconds) are ours."""
        text = self.quote(command, *args)
        answer = self._line.ask_root(
            self._wrap(text),
            kwargs.get("stdin", b""),
            kwargs.get("limit", PATIENCE_TO_ANSWER),
        )
        return self.result(answer.returncode, text.encode(), answer.stdout, answer.stderr)

    def decode(self, data: bytes) -> str:
        """Read whatever a machine prints; testinfra would ask the machine for its encoding."""
        return data.decode(errors="replace")


def as_root(name: str, line: Line) -> Host:
    """Return the machine as root sees it."""
    return _host(OverLine(name, line, str))


def as_attendee(name: str, line: Line, attendee: str) -> Host:
    """
    Return the machine as the attendee sees it who logs in now: own groups, own shell.

    runuser makes a login session without asking anybody's sudoers for leave.
    """
    login = f"exec runuser -l {shlex.quote(attendee)} -c "
    return _host(OverLine(name, line, lambda text: login + shlex.quote(text)))


def _host(backend: OverLine) -> Host:
    host = Host(backend)
    backend.set_host(host)
    return host
