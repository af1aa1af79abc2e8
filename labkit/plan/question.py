"""One question to a machine, answered by a small program that is sent along."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labkit.classroom import Machine
from labkit.post import Lost, Post

LOOK = Path(__file__).with_name("look.py")
# Longer than the program lives, and than ssh takes to give up a machine that is off.
PATIENCE = 30
MOST_AT_ONCE = 50


def ask(
    machine: Machine, told: Mapping[str, Any], directory: Path, *, local: bool = False
) -> dict[str, Any]:
    """
    Return what a machine answers; `local` asks this controller, to which no ssh leads.

    Raises:
        Lost: It is unreachable, has no Python or no sudo for us, or says what is wrong.
    """
    post = Post(machine, directory, LOOK.read_bytes(), local=local)
    try:
        post.say(told)
        return post.hear(time.monotonic() + PATIENCE)
    finally:
        post.close()


def ask_all(
    machines: Iterable[Machine], told: Mapping[str, Any], directory: Path, forks: int | None
) -> dict[str, dict[str, Any] | Lost]:
    """Ask machines side by side; return for each its answer, or why there is none."""

    def one(machine: Machine) -> dict[str, Any] | Lost:
        try:
            return ask(machine, told, directory)
        except Lost as error:
            return error

    asked = list(machines)
    with ThreadPoolExecutor(forks or MOST_AT_ONCE) as pool:
        return dict(zip((each.name for each in asked), pool.map(one, asked), strict=True))
