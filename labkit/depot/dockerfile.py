"""Which images a Dockerfile begins with."""

import re
from collections.abc import Iterator

ARGUMENT = re.compile(r"^ARG\s+(\w+)(?:=(\S*))?", re.IGNORECASE)
FROM = re.compile(r"^FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE)
COPIED = re.compile(r"^(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)", re.IGNORECASE)
# $NAME, ${NAME} and ${NAME:-otherwise}: https://docs.docker.com/reference/dockerfile/#from
VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")


def bases(dockerfile: str) -> list[str]:
    """
    Return the references that a build fetches: of FROM, and of COPY --from.

    Arguments have their defaults. What names an earlier stage, or is only known when it is
    built, is left out.
    """
    arguments: dict[str, str] = {}
    stages: set[str] = set()
    found: list[str] = []
    for line in _lines(dockerfile):
        if (argument := ARGUMENT.match(line)) and not found and not stages:
            arguments[argument[1]] = _fill((argument[2] or "").strip("\"'"), arguments)
        elif base := FROM.match(line):
            found.append(_fill(base[1], arguments))
            stages_before = set(stages)
            if found[-1].lower() in stages_before:
                found.pop()
            if base[2]:
                stages.add(base[2].lower())
        elif (copied := COPIED.match(line)) and copied[1].lower() not in stages:
            found.append(copied[1])
    wanted = (one for one in found if one and one != "scratch" and "$" not in one)
    return list(dict.fromkeys(one for one in wanted if not one.isdigit()))


def _lines(dockerfile: str) -> Iterator[str]:
    """Yield its instructions, each in one line."""
    text = "\n".join(line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    yield from (line.strip() for line in re.sub(r"\\\n", " ", text).splitlines())


def _fill(text: str, arguments: dict[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return arguments.get(found[1] or found[3]) or found[2] or ""

    return VARIABLE.sub(value, text)
