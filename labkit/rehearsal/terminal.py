"""One window of an attendee's: a login shell over SSH, typed into and watched."""

import codecs
import os
import re
import secrets
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from labkit.rehearsal.keeper.people import SESSION
from labkit.rehearsal.leash import Leash
from labkit.rehearsal.screen import drawn

PATIENCE_TO_LOG_IN = 30.0
# How often a wait looks whether the whole run is to stop.
TICK = 0.2
# Of what prints more than this, the beginning is forgotten.
MOST_KEPT = 1 << 18
CHUNK = 1 << 16
# A prompt is one only if nothing follows it for so long.
CALM = 0.06
LONGEST_PROMPT = 300
INNER = re.compile(r"(?:^|\n)([\w.-]+@[\w.-]+:\S*[#$]|[/~]\S* [#$]) $")
CTRL_C = "\x03"
SETTINGS = {
    "TERM": "dumb",
    "BUILDKIT_PROGRESS": "plain",
    "COMPOSE_ANSI": "never",
    "COMPOSE_PROGRESS": "plain",
    "DOCKER_CLI_HINTS": "false",
}

Found = TypeVar("Found")


class TooLong(Exception):
    """What was waited for did not come in time."""


class Gone(Exception):
    """The shell has ended, and the connection with it; the text is what ssh said."""


class Stopped(Exception):
    """The whole run is to stop."""


class Complete(Exception):
    """A shell took the lines so far for a whole command; the text is the line that is too much."""


@dataclass(frozen=True, slots=True)
class Rest:
    """Where a terminal came to rest: in its shell, with a status, or at a program's prompt."""

    status: int | None = None
    prompt: str = ""


class Terminal:
    """
    A login shell that says after each command how it ended, and repeats nothing typed.

    `argv` is an ssh that asks for a terminal on the machine (-tt). Here it needs none, which
    spares a fork of Python itself in a process of many threads. `answers` are what it may
    ask before the shell is there: sudo's question and its password.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        held: Leash,
        answers: Mapping[str, str] | None = None,
    ) -> None:
        self._stopped = held.stopped
        name = f"labkit{secrets.token_hex(4)}"
        self._mark, self._more = re.compile(rf"{name}:(\d+):"), f"{name}>"
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._raw = ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            # The machine's own language, not this controller's.
            env={
                **{key: value for key, value in environment.items() if not _language(key)},
                "TERM": SESSION,
            },
            bufsize=0,
            process_group=held.group,
        )
        assert self._process.stdout  # noqa: S101 - it was asked for above
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN)
        try:
            self._log_in(name, answers or {})
        except BaseException:
            self.close()
            raise

    @property
    def seen(self) -> str:
        """What was printed since something was typed, as one would see it, prompt and all."""
        return drawn(self._mark.split(self._raw)[0])

    def type(self, text: str, limit: float) -> None:
        """
        Type a command, each further line of it only when the shell asks for more.

        Raises:
            Complete: The shell had begun to carry it out before the last line.
            TooLong, Gone, Stopped: It did not ask.
        """
        first, *more = text.split("\n")
        self._raw = ""
        self._write(first + "\n")
        for line in more:
            if not self._await(partial(self._asks_for_more, len(self._raw)), limit):
                raise Complete(line)
            self._raw = self._raw.removesuffix(self._more)
            self._write(line + "\n")

    def press(self, key: str) -> None:
        """Press a key, and forget what was seen before."""
        self._raw = ""
        self._write(key)

    def await_rest(self, limit: float, *, inner: bool = True) -> Rest:
        """
        Return once the shell waits for a command, or, if `inner`, a program in it does.

        Raises:
            TooLong, Gone, Stopped: It did not come to that; `seen` holds what it said.
        """
        return self._await(partial(self._at_rest, inner=inner), limit)

    def await_line(self, pattern: str, limit: float) -> Rest | None:
        """
        Return once a whole line that matches was printed, or with how the command ended first.

        Raises:
            TooLong, Gone, Stopped: Neither happened.
        """
        wanted = re.compile(pattern)

        def look() -> tuple[Rest | None] | None:
            if any(wanted.search(line) for line in self.seen.split("\n")[:-1]):
                return (None,)
            ended = self._mark.search(self._raw)
            return (Rest(int(ended[1])),) if ended else None

        return self._await(look, limit)[0]

    def close(self) -> None:
        """Hang up: the shell ends, and with it what runs in it."""
        self._process.terminate()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                stream.close() if stream else None

    def _log_in(self, name: str, answers: Mapping[str, str]) -> None:
        for question, answer in answers.items():
            self._await(partial(self._asks, question), PATIENCE_TO_LOG_IN)
            self._raw = ""
            self._write(answer + "\n")
        settings = " ".join(f"{key}={value}" for key, value in SETTINGS.items())
        self._write(
            f" unset HISTFILE PROMPT_COMMAND; export {settings}; stty sane -echo cols 200 rows 50;"
            # A tab is what it is, not a wish to have a word completed.
            " bind 'set disable-completion on'; bind 'set enable-bracketed-paste off'; cd;"
            f" PS1='{name}:$?:' PS2='{self._more}'\n"
        )
        self.await_rest(PATIENCE_TO_LOG_IN, inner=False)
        self._raw = ""

    def _asks(self, question: str) -> bool | None:
        return True if question in self._raw else None

    def _at_rest(self, *, inner: bool = True) -> Rest | None:
        if ended := self._mark.search(self._raw):
            return Rest(int(ended[1]))
        if not inner:
            return None
        prompt = INNER.search(drawn(self._raw[-LONGEST_PROMPT:]))
        return Rest(prompt=prompt[1]) if prompt and not self._readable(CALM) else None

    def _asks_for_more(self, before: int) -> bool | None:
        """Return True for a further line's prompt, False for that of another command."""
        if len(self._raw) == before:
            return None
        asks = self._raw.endswith(self._more) or drawn(self._raw).endswith("\n> ")
        return True if asks else False if self._at_rest() else None

    def _await(self, look: Callable[[], Found | None], limit: float) -> Found:
        end = time.monotonic() + limit
        while (found := look()) is None:
            left = end - time.monotonic()
            if self._stopped():
                raise Stopped
            if left <= 0:
                raise TooLong
            if self._readable(min(left, TICK)):
                self._read()
        return found

    def _readable(self, seconds: float) -> bool:
        return bool(self._poll.poll(seconds * 1000))

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - it was asked for above
        data = os.read(self._process.stdout.fileno(), CHUNK)
        if not data:
            raise Gone(self._said())
        self._raw += self._decode(data)
        if len(self._raw) > MOST_KEPT:
            self._raw = self._raw[-MOST_KEPT // 2 :]

    def _write(self, text: str) -> None:
        assert self._process.stdin  # noqa: S101 - it was asked for above
        try:
            self._process.stdin.write(text.encode())
        except OSError:
            raise Gone(self._said()) from None

    def _said(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


def _language(variable: str) -> bool:
    return variable in {"LANG", "LANGUAGE"} or variable.startswith("LC_")
