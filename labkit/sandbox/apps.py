"""Images of the sample apps, for machines on which a build would take minutes: made on the box."""

import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from labkit import paths
from labkit.sandbox.image import Files
from labkit.sandbox.standins import Plan, StandIn, plan_of, plans

_APP, _DOCKERFILE = "todo", "Dockerfile.full"
_VERSION = re.compile(r"^TODO_VERSION=(\S+)$", re.MULTILINE)
_ARGUMENT = re.compile(r"^ARG (\w+)=(\S+)$", re.MULTILINE)


def plan_app(*, stand_ins: bool) -> Plan:
    """
    Return how to build the to-do app, which the swarm chapter runs.

    Its base is the stand-in or, where Docker Hub can be reached, the real image.
    """
    folder = paths.content() / _APP
    (version,) = _VERSION.findall((folder / ".env").read_text())
    known = {name: plan for plan in plans() for name in plan.image.references} if stand_ins else {}
    return plan_of(StandIn(_APP, (version,)), _sources(folder), known, stands_in=False)


def _sources(folder: Path) -> Files:
    """Return what a build sends to the engine, without what Docker's client would leave out."""
    ignored = (folder / ".dockerignore").read_text().splitlines()
    files: Files = {}
    for file in paths.files_of(folder):
        name = str(file.relative_to(folder))
        if not _is_ignored(name, ignored):
            executable = file.stat().st_mode & 0o100
            files[name] = (file.read_bytes(), 0o755 if executable else 0o644)
    dockerfile = (folder / _DOCKERFILE).read_text()
    return files | {"Dockerfile": (_resolved(dockerfile).encode(), 0o644)}


def _is_ignored(name: str, patterns: Iterable[str]) -> bool:
    top = name.split("/", 1)[0]
    return any(fnmatch(top, pattern) for pattern in patterns if not pattern.startswith("#"))


def _resolved(dockerfile: str) -> str:
    """Return the Dockerfile with its arguments' defaults where FROM names them."""
    defaults: Mapping[str, str] = dict(_ARGUMENT.findall(dockerfile))

    def named(line: re.Match[str]) -> str:
        return re.sub(r"\$\{(\w+)\}", lambda word: defaults.get(word[1], word[0]), line[0])

    return re.sub(r"^FROM .*$", named, dockerfile, flags=re.MULTILINE)
