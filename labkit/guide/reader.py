"""From a directory of Markdown files to the chapters that can be carried out."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.errors import BadInput
from labkit.guide.annotation import (
    CHAPTER,
    REHEARSE,
    Annotation,
    read_annotation,
    read_chapter_words,
)
from labkit.guide.console import read_console
from labkit.guide.model import Chapter, Does, Guide, Part, Step

NUMBERED = re.compile(r"(\d+|[A-Z]\d+)-.+")
# What explains a guide is no part of the workshop.
ABOUT = ("README", "FORMAT")
CLEAN_UP = "clean up"
FORMAT = "guide/FORMAT.md in labkit's own guide explains the words and the blocks"


class Wrong(ValueError):
    """Something in a chapter that cannot be; `line` counts from 1."""

    def __init__(self, line: int, what: object) -> None:
        super().__init__(str(what))
        self.line = line


def read_guide(directory: Path) -> Guide:
    """
    Return the guide in a directory: its numbered files, or, where there are none, all files.

    Raises:
        BadInput: There is no chapter, or one breaks the format; file and line are named.
    """
    if not directory.is_dir():
        raise BadInput(f"there is no guide in {directory}", "name a folder of Markdown files")
    files = [one for one in sorted(directory.glob("*.md"), key=_place) if one.stem not in ABOUT]
    numbered = [one for one in files if NUMBERED.fullmatch(one.stem)]
    chosen = numbered or files
    if not chosen:
        raise BadInput(f"{directory} holds no chapter", "name its chapters like 01-first-steps.md")
    return Guide(
        directory,
        tuple(read_chapter(one) for one in chosen),
        tuple(one for one in sorted(directory.glob("*.md")) if one not in chosen),
    )


def _place(file: Path) -> tuple[str, int, str]:
    """Return what puts A2 before A10, and all appendices behind all chapters."""
    letter, number = re.match(r"([A-Z]?)(\d*)", file.stem).groups()  # type: ignore[union-attr]
    return letter, int(number or 0), file.stem


def read_chapter(file: Path) -> Chapter:
    """
    Return one chapter.

    Raises:
        BadInput: It breaks the format; file and line are named.
    """
    place = f"{file.absolute().parent.name}/{file.name}"
    try:
        return _chapter(file, place, parser().parse(file.read_text(encoding="utf-8")))
    except Wrong as wrong:
        raise BadInput(f"{place}:{wrong.line}: {wrong}", FORMAT) from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{place} cannot be read: {error}", "save it as UTF-8 text") from None


def parser() -> MarkdownIt:
    """Return what reads Markdown here: CommonMark with tables, HTML let through."""
    return MarkdownIt("commonmark").enable("table")


def _chapter(file: Path, place: str, tokens: Sequence[Token]) -> Chapter:
    known = NUMBERED.fullmatch(file.stem)
    machines, minutes = _needs(tokens)
    steps = sorted(_steps(tokens), key=lambda one: one.part)
    for one in steps:
        if one.machine > machines:
            needed = f"<!-- chapter: machines={one.machine} -->"
            raise Wrong(one.line, f"vm{one.machine} is used, but there is no {needed}")
    return Chapter(
        known[1] if known else file.stem,
        title_of(tokens) or file.stem,
        place,
        file,
        machines,
        minutes,
        tuple(replace(one, number=number) for number, one in enumerate(steps, 1)),
    )


def title_of(tokens: Sequence[Token]) -> str:
    """Return the text of the first heading of the first level."""
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            return plain_text(tokens[number + 1])
    return ""


def _needs(tokens: Sequence[Token]) -> tuple[int, int | None]:
    for token in tokens:
        if token.type == "html_block" and (found := CHAPTER.match(token.content)):
            try:
                return read_chapter_words(found[1])
            except ValueError as error:
                raise Wrong(_line(token), error) from None
    return 1, None


def _steps(tokens: Sequence[Token]) -> Iterator[Step]:
    part, level = Part.LESSON, 0
    note: tuple[Token, Annotation] | None = None
    for number, token in enumerate(tokens):
        if token.type == "heading_open" and (part is Part.LESSON or int(token.tag[1]) <= level):
            cleaning = plain_text(tokens[number + 1]).lower() == CLEAN_UP
            part, level = (Part.CLEANUP if cleaning else Part.LESSON), int(token.tag[1])
        if note and token.type != "fence":
            raise Wrong(_line(note[0]), "this comment stands above no fenced block")
        if token.type == "html_block" and (found := REHEARSE.fullmatch(token.content)):
            note = token, _annotation(token, found[1])
        elif token.type == "fence":
            said = note[1] if note else None
            yield from _block(token, said, Part.SETUP if said and said.setup else part)
            note = None
    if note:
        raise Wrong(_line(note[0]), "this comment stands above no fenced block")


def _annotation(token: Token, words: str) -> Annotation:
    try:
        return read_annotation(words)
    except ValueError as error:
        raise Wrong(_line(token), error) from None


def _block(token: Token, said: Annotation | None, part: Part) -> Iterator[Step]:
    try:
        yield from _read_block(token, said, part)
    except ValueError as error:
        raise Wrong(_line(token), error) from None


def _read_block(token: Token, said: Annotation | None, part: Part) -> Iterator[Step]:
    note = said or Annotation()
    if token.info.split(" ")[0] == "console":
        if note.file:
            raise ValueError("file= is for the content of a file, not for a console")
        yield from read_console(token.content.splitlines(), _line(token) + 1, note, part)
    elif note.file:
        yield _edit(token, note, part)
    elif said:
        raise ValueError("only a console block, or one with file=, is carried out")


def _edit(token: Token, note: Annotation, part: Part) -> Step:
    return Step(
        line=_line(token),
        does=Does.WRITE,
        text=token.content,
        file=note.file,
        part=part,
        machine=note.machine,
        needs=note.needs,
        skip=note.skip,
    )


def _line(token: Token) -> int:
    assert token.map  # noqa: S101 - every block has one
    return token.map[0] + 1


def plain_text(inline: Token) -> str:
    """Return the text of a heading or paragraph, without its marks."""
    return "".join(one.content for one in inline.children or () if one.type != "html_inline")
