"""What is applied to a machine has one fingerprint, which anything that matters changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from labkit import applied
from labkit.applied import Fingerprints
from labkit.classroom import Class, Machine
from labkit.lock import Locked, write_lock
from labkit.record import Record, lock_engine
from labkit.ssh import Connection

VM1 = Machine("vm1", "seat01", 1, Connection("192.0.2.1"), {"sample_apps_names": ["clock"]})
VM2 = replace(VM1, name="vm2", number=2, connection=Connection("192.0.2.2"))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A labkit with a role and an app of its own."""
    for file in ("roles/base/tasks/main.yml", "playbooks/provision.yml", "clock/clock.sh"):
        (tmp_path / "house" / file).parent.mkdir(parents=True)
        (tmp_path / "house" / file).write_text("as it was\n")
    monkeypatch.setattr(applied, "content", lambda: tmp_path / "house")
    return tmp_path / "house"


def known(directory: Path, *machines: Machine) -> Class:
    return Class(directory, machines or (VM1, VM2), ("vm1",), {}, (), {})


def test_the_same_inputs_have_the_same_fingerprint(house: Path, tmp_path: Path) -> None:
    assert house.is_dir()
    prints = {Fingerprints(known(tmp_path)).of(VM1) for _ in range(2)}

    assert len(prints) == 1


@pytest.mark.parametrize("file", ["roles/base/tasks/main.yml", "clock/clock.sh"])
def test_another_role_or_app_has_another_one(house: Path, tmp_path: Path, file: str) -> None:
    before = Fingerprints(known(tmp_path)).of(VM1)
    (house / file).write_text("otherwise\n")

    assert Fingerprints(known(tmp_path)).of(VM1) != before


@pytest.mark.parametrize("folder", ["__pycache__", "node_modules"])
def test_what_a_tool_leaves_there_does_not_count(house: Path, tmp_path: Path, folder: str) -> None:
    before = Fingerprints(known(tmp_path)).of(VM1)
    (house / "roles" / folder).mkdir()
    (house / "roles" / folder / "x").touch()

    assert Fingerprints(known(tmp_path)).of(VM1) == before


def test_inputs_and_the_seats_other_machines_count(house: Path, tmp_path: Path) -> None:
    assert house.is_dir()
    before = Fingerprints(known(tmp_path)).of(VM1)
    moved = replace(VM2, connection=Connection("192.0.2.9"))
    changed = replace(VM1, inputs={**VM1.inputs, "images_patience": 61})

    assert Fingerprints(known(tmp_path, VM1, moved)).of(VM1) != before
    assert Fingerprints(known(tmp_path)).of(changed) != before


def test_a_class_whose_engine_is_not_chosen_any_more_is_another_one(
    house: Path, tmp_path: Path
) -> None:
    assert house.is_dir()
    prints = Fingerprints(known(tmp_path))
    before = prints.of(VM1)
    lock_engine(tmp_path, {"key": "debian-13-docker", "packages": {"docker-ce": "5:28"}})

    assert prints.of(VM1) != before


def test_unchanged_is_what_the_record_says_was_applied(house: Path, tmp_path: Path) -> None:
    assert house.is_dir()
    with Record(tmp_path, "provision") as record:
        record.apply("vm1", Fingerprints(known(tmp_path)).of(VM1))
        record.close([])
    prints = Fingerprints(known(tmp_path))

    assert prints.unchanged(VM1)
    assert not prints.unchanged(VM2)


def test_another_lock_of_images_counts(house: Path, tmp_path: Path) -> None:
    assert house.is_dir()
    before = Fingerprints(known(tmp_path)).of(VM1)
    write_lock(tmp_path, {"ubuntu:24.04": Locked("sha256:aa", {})})

    assert Fingerprints(known(tmp_path)).of(VM1) != before
