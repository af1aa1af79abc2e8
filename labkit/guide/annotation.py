"""The words of the comments that tell labkit how the block below them is carried out."""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REHEARSE = re.compile(r"\s*<!--\s*rehearse\b:?(.*?)-->\s*", re.DOTALL)
CHAPTER = re.compile(r"\s*<!--\s*chapter\b:?(.*?)-->\s*", re.DOTALL)
FLAGS = frozenset({"setup", "paste"})
THINGS = ("mesh", "!mesh")


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one comment says; `exit` is None for any status."""

    setup: bool = False
    paste: bool = False
    machine: int = 1
    terminal: int = 1
    exit: int | None = 0
    interrupt: str = ""
    background: str = ""
    until: float = 0.0
    limit: float = 60.0
    file: str = ""
    skip: str = ""
    needs: str = ""


def read_annotation(words: str) -> Annotation:
    """
    Return what a comment's words say.

    Raises:
        ValueError: A word is unknown, or its value cannot be; the text is for people.
    """
    said = Annotation(**_read(words, READERS))
    if said.interrupt and said.background:
        raise ValueError("interrupt and background exclude each other")
    if said.until and (said.interrupt or said.background):
        raise ValueError("until repeats a command that ends by itself")
    return said


def read_chapter_words(words: str) -> tuple[int, int | None]:
    """
    Return how many machines a chapter needs, and how many minutes it takes.

    Raises:
        ValueError: A word is unknown, or its value cannot be.
    """
    said = _read(words, {"machines": _count, "minutes": _count})
    return said.get("machines", 1), said.get("minutes")


def _read(words: str, readers: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for word in shlex.split(words):
        name, equals, value = word.partition("=")
        if name not in readers:
            raise ValueError(f"unknown word {name!r}; the words are {', '.join(sorted(readers))}")
        if name in said:
            raise ValueError(f"{name} is said twice")
        if bool(equals) is (name in FLAGS):
            raise ValueError(f"{name} takes {'no' if equals else 'a'} value")
        try:
            said[name] = readers[name](value)
        except ValueError as error:
            raise ValueError(f"{name}={value}: {error}") from None
    return said


def _count(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError("a number from 1 on is wanted")
    return int(value)


def _machine(value: str) -> int:
    if not re.fullmatch(r"vm[1-9]\d*", value):
        raise ValueError("a machine of the seat is called vm1, vm2, …")
    return int(value.removeprefix("vm"))


def _status(value: str) -> int | None:
    if value == "any":
        return None
    if not value.isdecimal():
        raise ValueError("a number or any is wanted")
    return int(value)


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", value) or not float(value):
        raise ValueError("a number of seconds is wanted")
    return float(value)


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return _text(value)


def _text(value: str) -> str:
    if not value.strip():
        raise ValueError("it says nothing")
    return value


def _path(value: str) -> str:
    if value.startswith(("/", "~")) or ".." in value.split("/") or value.endswith("/"):
        raise ValueError("a file below the attendee's home is wanted, as app/Dockerfile")
    return _text(value)


def _thing(value: str) -> str:
    if value not in THINGS:
        raise ValueError(f"what can be needed is {' or '.join(THINGS)}")
    return value


READERS: Mapping[str, Callable[[str], Any]] = {
    "setup": lambda _: True,
    "paste": lambda _: True,
    "machine": _machine,
    "terminal": _count,
    "exit": _status,
    "interrupt": _pattern,
    "background": _pattern,
    "until": _seconds,
    "limit": _seconds,
    "file": _path,
    "skip": _text,
    "needs": _thing,
}
