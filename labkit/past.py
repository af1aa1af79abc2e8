"""What an earlier run found, and what has become better or worse since."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from labkit.errors import BadInput
from labkit.events import Event, Kind
from labkit.verdicts import GOOD, Progress

# Machine, part and step; the verdict of a machine has neither part nor step.
Key = tuple[str, str, str]
OUTCOMES = {Kind.OK: True, Kind.CHANGED: True, Kind.FAILED: False, Kind.UNREACHABLE: False}
MOST_NOTED = 5


class Change(StrEnum):
    """What has become of something that was tried before as well."""

    BETTER = "better"
    WORSE = "worse"


Changes = Mapping[Key, Change]


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier run, by its record's name: what was tried, and whether it was well."""

    name: str
    well: Mapping[Key, bool]


def read_past(class_directory: Path, wanted: str) -> Past:
    """
    Return the record of that name or path; "last" is the latest that came to its end.

    Raises:
        BadInput: There is none, or it cannot be read.
    """
    runs = class_directory / ".labkit" / "runs"
    ended = [file.parent for file in sorted(runs.glob("*/verdicts.json"))]
    folder = runs / wanted if (runs / wanted).is_dir() else Path(wanted)
    if wanted == "last" and ended:
        folder = ended[-1]
    try:
        events = (folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        said = [json.loads(line) for line in events]
        verdicts = json.loads((folder / "verdicts.json").read_text(encoding="utf-8"))
        well = {
            (one["machine"], one["part"], one["step"]): OUTCOMES[Kind(one["kind"])]
            for one in said
            if one["kind"] in OUTCOMES
        }
        for machine, verdict in verdicts.items():
            well[machine, "", ""] = verdict["state"] in GOOD
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        known = ", ".join(one.name for one in ended[-3:]) or "there is none yet"
        raise BadInput(
            f"--since: {wanted} is no record of an earlier run", f"the latest in {runs}: {known}"
        ) from None
    return Past(folder.name, well)


def compare(past: Past, events: Iterable[Event], verdicts: Iterable[Progress]) -> Changes:
    """Return what is better or worse than in the past; what was not tried in both is neither."""
    now = {
        (one.machine, one.part, one.step): OUTCOMES[one.kind]
        for one in events
        if one.kind in OUTCOMES
    }
    now |= {(one.machine, "", ""): one.state in GOOD for one in verdicts}
    return {
        key: Change.BETTER if well else Change.WORSE
        for key, well in now.items()
        if past.well.get(key, well) is not well
    }


def notes(past: Past, changes: Changes) -> Iterator[tuple[str, str]]:
    """Yield for each machine in one line what is better, and in one what is worse."""
    for change in Change:
        found: dict[str, list[str]] = {}
        for (machine, part, step), its in changes.items():
            if its is change:
                found.setdefault(machine, []).append(f"{part}: {step}" if part else "its verdict")
        for machine, steps in found.items():
            more = f", and {len(steps) - MOST_NOTED} more" if len(steps) > MOST_NOTED else ""
            yield machine, f"{change} since {past.name}: {'; '.join(steps[:MOST_NOTED])}{more}"
