"""What has become better and worse since an earlier run."""

import re
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.events import Event, Kind, Reason
from labkit.past import MOST_NOTED, Change, compare, notes, read_past
from labkit.record import Record
from labkit.verdicts import CHECKS, Progress, State

PART = "chapter 05"


def event(step: str, kind: Kind, part: str = PART) -> Event:
    reasons = (Reason(step, "no"),) if kind is Kind.FAILED else ()
    return Event(kind, "vm1", step, part, reasons=reasons)


def record(directory: Path, state: State, *events: Event) -> str:
    with Record(directory, "verify") as kept:
        for one in events:
            kept.take(one, 1.0)
        kept.close([Progress("vm1", "seat01", state)])
    return kept.run.name


def test_what_was_tried_in_both_is_compared(tmp_path: Path) -> None:
    record(
        tmp_path,
        State.READY,
        event("a", Kind.OK),
        event("b", Kind.FAILED),
        event("c", Kind.OK),
        event("d", Kind.SKIPPED),
        event("b", Kind.OK, CHECKS),
    )
    now = [
        event("a", Kind.FAILED),
        event("b", Kind.OK),
        event("c", Kind.OK),
        event("d", Kind.FAILED),
    ]
    past = read_past(tmp_path, "last")
    changes = compare(past, now, [Progress("vm1", "seat01", State.NOT_READY)])

    assert changes == {
        ("vm1", PART, "a"): Change.WORSE,
        ("vm1", PART, "b"): Change.BETTER,
        ("vm1", "", ""): Change.WORSE,
    }
    assert dict(notes(past, changes)) == {"vm1": f"worse since {past.name}: {PART}: a; its verdict"}
    assert next(note for _, note in notes(past, changes)).startswith("better since ")


def test_the_last_record_is_the_latest_that_came_to_its_end(tmp_path: Path) -> None:
    record(tmp_path, State.READY, event("a", Kind.OK))
    latest = record(tmp_path, State.READY, event("a", Kind.FAILED))
    with Record(tmp_path, "verify"):
        assert read_past(tmp_path, "last").name == latest


def test_a_record_can_be_named_or_lie_elsewhere(tmp_path: Path) -> None:
    name = record(tmp_path, State.READY, event("a", Kind.OK))
    moved = tmp_path / "moved"
    assert read_past(tmp_path, name).well["vm1", PART, "a"]
    (tmp_path / ".labkit/runs" / name).rename(moved)

    assert read_past(tmp_path, str(moved)).well["vm1", PART, "a"]


@pytest.mark.parametrize("wanted", ["last", "20200101T000000Z-verify", "/nowhere", ""])
def test_a_record_that_there_is_not_is_answered_with_those_there_are(
    wanted: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=re.escape(f"{wanted} is no record")) as error:
        read_past(tmp_path, wanted)
    assert "there is none yet" in str(error.value.hint)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    name = record(tmp_path, State.READY, event("a", Kind.OK))
    (tmp_path / ".labkit/runs" / name / "events.jsonl").write_text('{"machine": 1}\n[]\n')

    with pytest.raises(BadInput):
        read_past(tmp_path, name)


def test_of_many_changes_the_first_are_noted(tmp_path: Path) -> None:
    steps = [f"step {number}" for number in range(MOST_NOTED + 3)]
    record(tmp_path, State.READY, *(event(one, Kind.OK) for one in steps))
    past = read_past(tmp_path, "last")
    ((_, note),) = notes(past, compare(past, [event(one, Kind.FAILED) for one in steps], []))

    assert note.endswith("step 4, and 3 more")
