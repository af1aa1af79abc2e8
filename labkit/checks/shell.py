"""A shell of root's that stays open: a question costs no ssh and no sudo of its own."""

import os
import select
import shlex
import subprocess
import time
from collections.abc import Callable

READY = b"labkit-shell\n"
# Both streams go through files in memory, since their lengths have to be told before them. They
# go with the shell, which ends when its input does.
ANSWERS = f"""
d=$(mktemp -d -p /run 2>/dev/null || mktemp -d) || exit
trap 'rm -rf "$d"' EXIT
answer() {{
  sh -c "$1" </dev/null >"$d/out" 2>"$d/err"
  echo $?
  stat -c %s "$d/out" "$d/err"
  cat "$d/out" "$d/err"
}}
echo {READY.decode()}"""
CHUNK = 65536


class Ended(Exception):
    """The shell is gone, and with it, perhaps, the machine."""


class Late(Exception):
    """What was asked is not answered yet, and never will be: the shell has been left."""


class Shell:
    """Asks one thing after the other; `opening` starts an ssh that ends in a shell of root's."""

    def __init__(self, opening: Callable[[], subprocess.Popen[bytes]], password: bytes) -> None:
        self._process = opening()
        self._unread = b""
        self._say(password + ANSWERS.encode())

    def await_ready(self, seconds: float) -> None:
        """
        Pass over what a login says before it, until the shell listens.

        Raises:
            Ended: The shell was not opened.
            Late: It was not within these seconds.
        """
        end = time.monotonic() + seconds
        while self._line(end) != READY:
            pass

    def ask(self, text: str, limit: float) -> subprocess.CompletedProcess[bytes]:
        """
        Return what a line of sh answered, which finds no input.

        Raises:
            Ended: The shell is gone.
            Late: There was no answer within `limit` seconds.
        """
        end = time.monotonic() + limit
        self._say(f"answer {shlex.quote(text)}\n".encode())
        code, length, more = (int(self._line(end)) for _ in range(3))
        answer = self._bytes(length, end)
        return subprocess.CompletedProcess(text, code, answer, self._bytes(more, end))

    def close(self) -> None:
        """Leave the shell, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            stream.close() if stream else None

    def _say(self, data: bytes) -> None:
        assert self._process.stdin
        try:
            self._process.stdin.write(data)
        except OSError:
            raise Ended from None

    def _line(self, end: float) -> bytes:
        while b"\n" not in self._unread:
            self._unread += self._more(end)
        line, newline, self._unread = self._unread.partition(b"\n")
        return line + newline

    def _bytes(self, count: int, end: float) -> bytes:
        while len(self._unread) < count:
            self._unread += self._more(end)
        data, self._unread = self._unread[:count], self._unread[count:]
        return data

    def _more(self, end: float) -> bytes:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))[0]:
            raise Late
        data = os.read(self._process.stdout.fileno(), CHUNK)
        if not data:
            raise Ended
        return data
