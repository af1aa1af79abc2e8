"""The verbs of a depot, typed for a class that has none, and for this very box."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from commandline import Labkit

from labkit.depot import service
from labkit.post import Lost
from labkit.verdicts import State


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_a_class_without_a_depot_is_told_how_to_name_one(labkit: Labkit, verb: str) -> None:
    (labkit.folder / "class.ini").write_text("[machines]\na ansible_host=192.0.2.1\n")
    before = labkit.kept()
    said = labkit("depot", verb, "-i", "class.ini")

    assert said.returncode == 2
    assert "has no depot" in said.stderr
    assert "[depot]" in said.stderr
    assert labkit.kept() == before


@pytest.mark.parametrize("verb", ["up", "status", "down"])
def test_a_depot_is_one_machine_and_takes_no_limit(labkit: Labkit, verb: str) -> None:
    assert labkit("depot", verb, "-i", "class.ini", "--limit", "a").returncode == 2
    assert "--ask-become-pass" in labkit("depot", verb, "--help").stdout


def test_the_depots_verdict_tells_what_was_done() -> None:
    assert service.settled(service.Options(), "present") is State.READY
    assert service.settled(service.Options(), "absent") is State.PROVISIONED
    assert service.settled(service.Options(check=True), "absent") is State.DRY_RUN


def test_the_roles_that_point_to_a_depot_are_there() -> None:
    roles = Path(__file__).parents[2] / "roles"

    assert all((roles / one).is_dir() for one in service.POINTERS.split(","))
    assert service.NO_DEPOT["preflight_depot"] == ""


def test_only_machines_that_know_of_the_depot_forget_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "knows": {"has_depot": True},
        "failed before": {"has_depot": False},
        "off": Lost("no route"),
        "never met": Lost("no route"),
    }
    monkeypatch.setattr(service, "ask_all", lambda *_: answers)
    monkeypatch.setattr(service, "latest_verdicts", lambda _: {"off": "", "failed before": ""})
    known = SimpleNamespace(machines=(), directory=tmp_path)

    assert service.pointed_to(known, service.Options(), tmp_path) == ["knows", "off"]


def test_virtual_machines_have_no_depot(labkit: Labkit) -> None:
    said = labkit("sandbox", "up", "box", "--backend", "qemu", "--depot")

    assert said.returncode == 2
    assert "--depot" in said.stderr
