"""What a guide is made of: chapters, and the steps that an attendee takes in them."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path

from labkit.errors import BadInput


class Does(StrEnum):
    """What one does at a step."""

    TYPE = "type"
    PRESS = "press"
    WRITE = "write"


class Part(IntEnum):
    """Which part of a chapter a step belongs to; they are taken in this order."""

    SETUP = 0
    LESSON = 1
    CLEANUP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    One thing that an attendee does; what its fields mean in the text stands in guide/FORMAT.md.

    `text` is what is typed, without its prompt, or the whole new content of `file`. `line` is
    where it stands in the chapter's file. `prompt` is empty for the attendee's own shell.
    `exit` is None where any status will do.
    """

    line: int
    does: Does = Does.TYPE
    text: str = ""
    prompt: str = ""
    expected: tuple[str, ...] = ()
    part: Part = Part.LESSON
    machine: int = 1
    terminal: int = 1
    exit: int | None = 0
    background: str = ""
    until: float = 0.0
    limit: float = 60.0
    file: str = ""
    paste: bool = False
    needs: str = ""
    skip: str = ""
    number: int = 0

    @property
    def title(self) -> str:
        """What the step is called in one line."""
        first, _, more = self.text.strip().partition("\n")
        if self.does is Does.PRESS:
            return "Ctrl-C"
        if self.does is Does.WRITE:
            return f"edit ~/{self.file}"
        return f"{first} …" if more else first

    @property
    def place(self) -> tuple[int, int]:
        """The window in which it is typed: machine and terminal."""
        return self.machine, self.terminal


@dataclass(frozen=True, slots=True)
class Chapter:
    """
    One chapter; its `steps` are numbered and in the order in which they are taken.

    `place` is its file as it is named to people, `machines` how many of a seat it needs,
    `minutes` how long it takes in class, or None where it does not say.
    """

    number: str
    title: str
    place: str
    file: Path
    machines: int
    minutes: int | None
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Guide:
    """A directory of chapters, and the pages beside them that are only read."""

    directory: Path
    chapters: tuple[Chapter, ...]
    pages: tuple[Path, ...]


def choose(guide: Guide, wanted: str) -> list[Chapter]:
    """
    Return the chapters that "3,4-6,A1" or "all" names, in the guide's order.

    Raises:
        BadInput: There is no such chapter.
    """
    if wanted == "all":
        return list(guide.chapters)
    known = {_plain(one.number): place for place, one in enumerate(guide.chapters)}
    chosen: set[int] = set()
    for word in (word.strip() for word in wanted.split(",")):
        first, dash, last = (word, "", "") if _plain(word) in known else word.partition("-")
        ends = [known.get(_plain(one)) for one in ((first, last) if dash else (first,))]
        if None in ends or (places := [one for one in ends if one is not None]) != sorted(places):
            raise BadInput(
                f"--rehearse: there is no chapter {word!r}",
                f"the chapters are {', '.join(one.number for one in guide.chapters)}",
            )
        chosen.update(range(places[0], places[-1] + 1))
    return [one for place, one in enumerate(guide.chapters) if place in chosen]


def _plain(number: str) -> str:
    """Return a chapter's number as people may type it: "3" and "a1" mean 03 and A1."""
    return number.strip().lstrip("0").upper()
