"""One question to a machine, answered by a small program that is sent along."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labkit.classroom import Machine
from labkit.seat.post import ALONE, opening
from labkit.ssh import askpass, command

LOOK = Path(__file__).with_name("look.py")
# Longer than the program lives, and than ssh takes to give up a machine that is off.
PATIENCE = 30
MOST_AT_ONCE = 50


class NoAnswer(Exception):
    """A machine did not say how it stands; the text is what ssh or the machine said."""


def ask(
    machine: Machine, told: Mapping[str, Any], directory: Path, *, local: bool = False
) -> dict[str, Any]:
    """
    Return what a machine answers; `local` asks this controller, to which no ssh leads.

    Raises:
        NoAnswer: It is unreachable, has no Python or no sudo for us, or says what is wrong.
    """
    secret, program = machine.connection.become_password, LOOK.read_bytes()
    line = opening(paid=secret is not None)
    words = ["sh", "-c", line] if local else command(machine.connection, line, first=ALONE)
    first = b"" if secret is None else f"{secret}\n".encode()
    question = f"{len(program)}\n".encode() + program + json.dumps(told).encode() + b"\n"
    try:
        with askpass(machine.connection.password, directory) as environment:
            said = subprocess.run(
                words,
                input=first + question,
                capture_output=True,
                env=environment,
                timeout=PATIENCE,
                check=False,
            )
    except subprocess.TimeoutExpired:
        raise NoAnswer(f"no answer within {PATIENCE} s") from None
    except OSError as error:
        raise NoAnswer(str(error)) from None
    return read(said.stdout, said.stderr)


def read(stdout: bytes, stderr: bytes) -> dict[str, Any]:
    """Return the answer among what a login script may have said."""
    for line in reversed(stdout.splitlines()):
        try:
            answer = json.loads(line)
        except ValueError:
            continue
        if isinstance(answer, dict):
            if "error" in answer:
                raise NoAnswer(str(answer["error"]))
            return answer
    lines = stderr.decode(errors="replace").strip().splitlines()
    raise NoAnswer("\n".join(lines[-3:]) or "the connection ended without a word")


def ask_all(
    machines: Iterable[Machine], told: Mapping[str, Any], directory: Path, forks: int | None
) -> dict[str, dict[str, Any] | NoAnswer]:
    """Ask machines side by side; return for each its answer, or why there is none."""

    def one(machine: Machine) -> dict[str, Any] | NoAnswer:
        try:
            return ask(machine, told, directory)
        except NoAnswer as error:
            return error

    asked = list(machines)
    with ThreadPoolExecutor(forks or MOST_AT_ONCE) as pool:
        return dict(zip((each.name for each in asked), pool.map(one, asked), strict=True))
