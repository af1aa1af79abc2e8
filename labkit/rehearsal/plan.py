"""Which chapters are carried out on which machines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.classroom import Machine
from labkit.errors import BadInput
from labkit.guide.model import Chapter, choose
from labkit.guide.reader import read_guide
from labkit.paths import content
from labkit.rehearsal.outcome import part_of


@dataclass(frozen=True, slots=True)
class Wish:
    """What to rehearse, as it came from the command line; `chapters` like "3,4-6" or "all"."""

    chapters: str = "all"
    guide: Path | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """
    The chapters for each machine alone, those for a seat, and those that lack machines.

    A seat's chapters come with the machines that they need, vm1 first. `titles` are those of
    all chapters, by the part of a run that each is.
    """

    alone: Sequence[Chapter]
    together: Mapping[str, Sequence[tuple[Chapter, Sequence[Machine]]]]
    lacking: Mapping[str, Sequence[Chapter]]
    force: bool
    titles: Mapping[str, str]


def make_plan(wish: Wish, machines: Iterable[Machine]) -> Plan:
    """
    Return what is to be done on these machines.

    Raises:
        BadInput: The guide cannot be read, has no such chapter, or one that was named needs
            machines that are not there.
    """
    guide = read_guide(wish.guide or content() / "guide")
    chapters = choose(guide, wish.chapters)
    seats: dict[str, dict[int, Machine]] = {}
    for one in machines:
        seats.setdefault(one.seat, {})[one.number] = one
    together: dict[str, list[tuple[Chapter, list[Machine]]]] = {seat: [] for seat in seats}
    lacking: dict[str, list[Chapter]] = {seat: [] for seat in seats}
    for chapter in (one for one in chapters if one.machines > 1):
        for seat, its in seats.items():
            cast = [its[number] for number in range(1, chapter.machines + 1) if number in its]
            if len(cast) == chapter.machines:
                together[seat].append((chapter, cast))
            elif wish.chapters != "all":
                raise BadInput(
                    f"chapter {chapter.number} {needs(chapter)}, and {seat} has {len(its)} here",
                    "widen --limit, or leave the chapter out of --rehearse",
                )
            else:
                lacking[seat].append(chapter)
    alone = [one for one in chapters if one.machines == 1]
    titles = {part_of(one): one.title for one in chapters}
    return Plan(alone, together, lacking, wish.force, titles)


def needs(chapter: Chapter) -> str:
    """Return how many machines a chapter needs, in words."""
    return f"needs {chapter.machines} machines"
