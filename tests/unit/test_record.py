"""The record of a class's runs."""

import json
import stat
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.events import Event, Kind, Reason
from labkit.record import (
    KEPT_RUNS,
    Record,
    applied,
    latest_verdicts,
    lock_engine,
    locked_engine,
    unfinished,
    usual_seconds,
)
from labkit.verdicts import Progress, State

LOCK = {"key": "debian-13-distribution", "packages": {"docker.io": "26.1.5"}}


def close(directory: Path, verb: str = "provision", *, dry: bool = False, **states: State) -> None:
    with Record(directory, verb, dry=dry) as record:
        record.take(Event(Kind.OK, "vm1", "Pull the images", "images", seconds=2.5), 1.0)
        record.close([Progress(name, "seat01", state) for name, state in states.items()])


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    close(tmp_path, vm1=State.READY)

    assert stat.S_IMODE((tmp_path / ".labkit").stat().st_mode) == 0o700


def test_events_are_written_as_they_happen(tmp_path: Path) -> None:
    close(tmp_path, vm1=State.READY)
    (events,) = tmp_path.glob(".labkit/runs/*/events.jsonl")

    (line,) = events.read_text().splitlines()
    assert json.loads(line)["step"] == "Pull the images"


def test_the_latest_verdict_of_each_machine_is_kept_over_all_runs(tmp_path: Path) -> None:
    close(tmp_path, vm1=State.READY, vm2=State.UNREACHABLE)
    close(tmp_path, vm2=State.READY)

    assert {name: one["state"] for name, one in latest_verdicts(tmp_path).items()} == {
        "vm1": "ready",
        "vm2": "ready",
    }


def test_a_verdict_says_why(tmp_path: Path) -> None:
    one = Progress("vm1", "seat01", State.NOT_READY, reasons=[Reason("a", "b", "c")])
    with Record(tmp_path, "verify") as record:
        record.close([one])

    assert latest_verdicts(tmp_path)["vm1"]["reasons"] == [
        {"tried": "a", "answer": "b", "todo": "c"}
    ]


def test_what_is_not_ready_or_was_never_met_is_unfinished(tmp_path: Path) -> None:
    close(
        tmp_path,
        vm1=State.READY,
        vm2=State.UNREACHABLE,
        vm3=State.INTERRUPTED,
        vm4=State.NOT_READY,
        vm5=State.PROVISIONED,
    )
    machines = ["vm1", "vm2", "vm3", "vm4", "vm5", "vm6"]

    assert unfinished(tmp_path, machines) == ["vm2", "vm3", "vm4", "vm6"]


def test_a_dry_run_says_nothing_about_the_machines(tmp_path: Path) -> None:
    close(tmp_path, vm1=State.UNREACHABLE)
    close(tmp_path, dry=True, vm1=State.DRY_RUN)

    assert unfinished(tmp_path, ["vm1"]) == ["vm1"]


@pytest.mark.parametrize("dry", [True, False])
def test_the_engines_versions_are_kept_for_machines_that_come_later(
    tmp_path: Path, *, dry: bool
) -> None:
    with Record(tmp_path, "provision", dry=dry) as record:
        record.take(Event(Kind.OK, "vm1", "Choose", data={"lock": LOCK}), 1.0)

    assert locked_engine(tmp_path) == ({} if dry else {LOCK["key"]: LOCK["packages"]})


def test_another_systems_versions_stand_beside(tmp_path: Path) -> None:
    lock_engine(tmp_path, LOCK)
    lock_engine(tmp_path, LOCK | {"key": "ubuntu-24.04-docker"})

    assert set(locked_engine(tmp_path)) == {LOCK["key"], "ubuntu-24.04-docker"}


def test_only_the_newest_runs_are_kept(tmp_path: Path) -> None:
    for _ in range(KEPT_RUNS + 3):
        close(tmp_path, vm1=State.READY)

    assert len(list(tmp_path.glob(".labkit/runs/*"))) == KEPT_RUNS


def test_the_seconds_of_an_earlier_run_are_remembered(tmp_path: Path) -> None:
    assert usual_seconds(tmp_path, "provision") == {}
    close(tmp_path, vm1=State.READY)

    assert usual_seconds(tmp_path, "provision") == {"Pull the images": 2.5}
    assert usual_seconds(tmp_path, "verify") == {}


def test_a_record_that_cannot_be_kept_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    (tmp_path / ".labkit").write_text("in the way")

    with pytest.raises(BadInput, match="cannot be kept"):
        Record(tmp_path, "provision")


def test_a_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine.lock.json").write_text("{")

    with pytest.raises(BadInput, match=r"engine\.lock\.json"):
        locked_engine(tmp_path)


def test_what_was_applied_is_forgotten_as_roles_begin_and_kept_as_they_end(tmp_path: Path) -> None:
    with Record(tmp_path, "provision") as record:
        record.apply("vm1", "one")
        record.apply("vm2", "two")
        record.close([])
    assert applied(tmp_path) == {"vm1": "one", "vm2": "two"}

    with Record(tmp_path, "provision") as record:
        record.begin(["vm1"])

    assert applied(tmp_path) == {"vm2": "two"}, "a run that is killed has left it half way"


def test_a_dry_run_leaves_what_was_applied_alone(tmp_path: Path) -> None:
    with Record(tmp_path, "provision", dry=True) as record:
        record.apply("vm1", "one")
        record.close([])

    assert applied(tmp_path) == {}
