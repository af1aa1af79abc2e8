"""A program of labkit's own that was sent to a machine, and labkit's word with it."""

import json
import os
import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from labkit.checks.line import SSH_FAILED, SUDO_FREE, SUDO_WITH_PASSWORD
from labkit.classroom import Machine
from labkit.ssh import askpass, command

# The program comes first on its input, behind its length, then what it is told.
BEGIN = "import sys; b = sys.stdin.buffer; exec(b.read(int(b.readline())))"
PYTHON = f"python3 -c {shlex.quote(BEGIN)}"
# With nobody's connection, which might be one that lives on.
ALONE = ("-o", "ControlMaster=no", "-o", "ControlPath=none")
CHUNK = 65536


class Lost(Exception):
    """
    A machine takes no part any more; the text is what ssh or the machine said.

    `away` tells that it was ssh who lost it.
    """

    def __init__(self, said: str, *, away: bool = False) -> None:
        super().__init__(said)
        self.away = away


class Post:
    """
    A program that root runs on a machine; it ends with this end of its connection.

    `program` is Python, and finds what it is told behind itself on its input. `local` starts it on
    this controller, to which no ssh leads.
    """

    def __init__(
        self, machine: Machine, directory: Path, program: bytes, *, local: bool = False
    ) -> None:
        self.machine = machine
        self._unread = b""
        self._opened = ExitStack()
        connection = machine.connection
        environment = self._opened.enter_context(askpass(connection.password, directory))
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        self._opened.callback(self._errors.close)
        secret = connection.become_password
        line = opening(paid=secret is not None)
        self._process = subprocess.Popen(
            ["sh", "-c", line] if local else command(connection, line, first=ALONE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            bufsize=0,
            # Ctrl-C is labkit's to handle.
            start_new_session=True,
        )
        first = b"" if secret is None else f"{secret}\n".encode()
        self._write(first + f"{len(program)}\n".encode() + program)

    def say(self, message: Mapping[str, Any]) -> None:
        """Tell the program something; one that is gone is noticed when it is asked."""
        self._write(json.dumps(message).encode() + b"\n")

    def hear(self, end: float) -> dict[str, Any]:
        """
        Return what the program says next, before a time of the monotonic clock.

        Raises:
            Lost: It says nothing more, or only what is wrong.
        """
        while True:
            line = self._line(end)
            try:
                said = json.loads(line)
            except ValueError:  # a login script may have something to say
                continue
            if isinstance(said, dict):
                if "error" in said:
                    raise Lost(said["error"])
                return said

    def send(self, data: bytes) -> bool:
        """Give it bytes, and return whether it took them."""
        assert self._process.stdin  # noqa: S101 - it was asked for above
        try:
            left = memoryview(data)
            while left:
                left = left[self._process.stdin.write(left) :]
        except (OSError, ValueError):
            return False
        return True

    def end(self) -> None:
        """Give it no more: what it reads has come to its end."""
        assert self._process.stdin  # noqa: S101 - it was asked for above
        with suppress(OSError):
            self._process.stdin.close()

    def read(self, count: int, end: float) -> bytes:
        """
        Return so many bytes, of which it has just told; no login script gets in between.

        Raises:
            Lost: They do not come.
        """
        while len(self._unread) < count:
            self._more(end)
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def hang_up(self) -> None:
        """End the connection, from any thread: to one that listens, ssh has ended."""
        self._process.kill()

    def close(self) -> None:
        """End the connection, and tidy up."""
        self._process.kill()
        # Waits for it, and closes what leads to it.
        self._process.__exit__(None, None, None)
        self._opened.close()

    def _write(self, data: bytes) -> None:
        assert self._process.stdin  # noqa: S101 - it was asked for above
        with suppress(OSError):
            self._process.stdin.write(data)

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._unread:
            self._more(end)
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _more(self, end: float) -> None:
        assert self._process.stdout  # noqa: S101 - it was asked for above
        left = max(0.0, end - time.monotonic())
        if not select.select([self._process.stdout], [], [], left)[0]:
            raise Lost("it did not answer in time")
        data = os.read(self._process.stdout.fileno(), CHUNK)
        if not data:
            raise self._ended()
        self._unread += data

    def _ended(self) -> Lost:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return Lost(
            "\n".join(said[-3:]) or "the connection ended without a word",
            away=self._process.returncode == SSH_FAILED,
        )


def opening(*, paid: bool) -> str:
    """
    Return the line for a login shell that starts, as root, the program on its input.

    `paid`: sudo's password is the first line there; it is passed over where none is needed.
    """
    skip = "read -r unused; " if paid else ""
    last = SUDO_WITH_PASSWORD if paid else SUDO_FREE
    line = (
        f'[ "$(id -u)" != 0 ] || {{ {skip}exec {PYTHON}; }}; '
        f"! {SUDO_FREE}true </dev/null 2>/dev/null || {{ {skip}exec {SUDO_FREE}{PYTHON}; }}; "
        f"exec {last}{PYTHON}"
    )
    return f"sh -c {shlex.quote(line)}"
