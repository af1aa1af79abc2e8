"""Which images the class needs, and for which architectures."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labkit.classroom import Machine
from labkit.depot.dockerfile import bases
from labkit.errors import BadInput
from labkit.paths import content
from labkit.plan.question import ask_all
from labkit.post import Lost

USUAL = "amd64"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One image of the class: for which architectures, and under which further names."""

    platforms: frozenset[str] = frozenset()
    tags: tuple[str, ...] = field(default=())


def wanted(
    machines: Iterable[Machine], architectures: Mapping[str, str], root: Path | None = None
) -> dict[str, Wanted]:
    """
    Return reference → what is wanted of it, in the machines' order.

    `architectures` has those of the machines that answered; another one counts as all of them, or
    as the usual one where nobody answered. `root` has the apps, else they are labkit's own.

    Raises:
        BadInput: A Dockerfile that is to be built is not there.
    """
    known = frozenset(architectures.values()) or frozenset({USUAL})
    found: dict[str, Wanted] = {}
    for machine in machines:
        own = architectures.get(machine.name)
        platforms = frozenset({own}) if own else known
        for reference, tags in _named(machine, root or content()):
            before = found.get(reference, Wanted())
            found[reference] = Wanted(
                before.platforms | platforms, tuple(dict.fromkeys((*before.tags, *tags)))
            )
    return found


def ask_architectures(
    machines: Iterable[Machine], scratch: Path, tell: Callable[[str], None]
) -> dict[str, str]:
    """Return machine → architecture of those that answer over ssh; of the others `tell` hears."""
    found = {}
    for name, said in ask_all(machines, {}, scratch, None).items():
        if isinstance(said, Lost):
            tell(f"{name} does not tell its architecture: {said}")
        else:
            found[name] = said["architecture"]
    return found


def _named(machine: Machine, root: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    for one in machine.inputs.get("images_pull") or ():
        yield one["reference"], tuple(one.get("tags") or ())
    for app in machine.inputs.get("images_build") or ():
        for file in app.get("files") or ["Dockerfile"]:
            place = root / app["context"] / file
            try:
                text = place.read_text(encoding="utf-8")
            except OSError as error:
                raise BadInput(
                    f"{machine.name} is to build {app['context']}/{file}: {error.strerror}",
                    "correct images_build",
                ) from None
            for reference in bases(text):
                yield reference, ()
