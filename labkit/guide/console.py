"""The grammar of a console block: prompts, what is typed after them, and what is answered."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from labkit.guide.annotation import Annotation
from labkit.guide.model import Does, Part, Step

# bash's prompt in a container, `...` standing for its id, or the one of Alpine's shell.
PROMPT = re.compile(r"(?P<prompt>[\w.-]+@[\w.-]+:\S*[#$]|[/~]\S* [#$]) (?P<text>.*\S.*)")
SHELL = re.compile(r"\$ (?P<text>.*\S.*)")
CONTINUED = re.compile(r"> ?(?P<text>.*)")
CTRL_C = "^C"


@dataclass(slots=True)
class _Said:
    """Something typed, as it is being read; no text is Ctrl-C."""

    line: int
    prompt: str = ""
    typed: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)


def read_console(
    lines: Sequence[str], first: int, note: Annotation, part: Part = Part.LESSON
) -> list[Step]:
    """
    Return the steps of a block whose content begins at line `first` of the file.

    Raises:
        ValueError: It does not begin with something typed, or has no command to annotate.
    """
    said = list(_read(lines, first))
    if not said:
        raise ValueError("a console block needs a command, after `$ `")
    last = next((one for one in reversed(said) if one.typed), None)
    if last is None and (note.interrupt or note.background or note.until):
        raise ValueError("there is no command that this could be said of")
    if note.interrupt and said[-1] is last:
        said.append(_Said(last.line))
    return [_step(one, note, part, last=one is last) for one in said]


def _read(lines: Sequence[str], first: int) -> Iterator[_Said]:
    now: _Said | None = None
    for number, line in enumerate(lines, first):
        if begun := _begun(number, line):
            if now:
                yield now
            now = begun
        elif now is None:
            if line.strip():
                raise ValueError(f"line {number} answers no command: {line.strip()}")
        elif now.typed and not now.answer and (more := CONTINUED.fullmatch(line)):
            now.typed.append(more["text"])
        else:
            now.answer.append(line.rstrip())
    if now:
        yield now


def _begun(number: int, line: str) -> _Said | None:
    if line.rstrip() == CTRL_C:
        return _Said(number)
    if found := SHELL.fullmatch(line):
        return _Said(number, typed=[found["text"]])
    if found := PROMPT.fullmatch(line):
        return _Said(number, found["prompt"], [found["text"]])
    return None


def _step(one: _Said, note: Annotation, part: Part, *, last: bool) -> Step:
    pressed = not one.typed
    return Step(
        line=one.line,
        does=Does.PRESS if pressed else Does.TYPE,
        text="\n".join(one.typed),
        prompt=one.prompt,
        expected=tuple(trimmed(one.answer)),
        part=part,
        machine=note.machine,
        terminal=note.terminal,
        # What Ctrl-C ends may end with any status, unless one is named.
        exit=(note.exit or None) if pressed else note.exit if last else 0,
        background=(note.background or note.interrupt) if last else "",
        until=note.until if last else 0.0,
        limit=note.limit,
        paste=note.paste,
        needs=note.needs,
        skip=note.skip,
    )


def trimmed(lines: Sequence[str]) -> Sequence[str]:
    """Return the lines without the blank ones at their end."""
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]
