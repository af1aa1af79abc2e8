"""What is written down of a sandbox of virtual machines is found again, and nothing else is."""

from dataclasses import replace
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.sandbox import backends, classfolder, plan
from labkit.sandbox.vm import lifecycle, place
from labkit.sandbox.vm.hardware import EMULATION, Hardware
from labkit.sandbox.vm.place import Sandbox


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(
        name=plan.sandbox_id(tmp_path / "class"),
        release="trixie",
        image="trixie-0a503fcf",
        warm="warm-0a503fcf",
        made_of=Hardware(EMULATION, 1024, 1),
        network="198.18.7.0/24",
        first_port=14_000,
        machines=tuple(plan.machines(1, 2)),
    )


def told_nothing(line: str) -> None:
    pytest.fail(line)


def test_what_was_written_is_read_again(sandbox: Sandbox) -> None:
    assert place.read(sandbox.name) is None
    place.write(sandbox)

    assert place.read(sandbox.name) == sandbox
    assert list(place.all_sandboxes()) == [sandbox]


@pytest.mark.parametrize("left", ["", "{", '{"name": "x"'])
def test_a_damaged_record_is_none(sandbox: Sandbox, left: str) -> None:
    place.write(sandbox)
    (sandbox.folder / "sandbox.json").write_text(left)

    assert place.read(sandbox.name) is None


def test_all_of_a_machine_follows_from_its_place_in_the_class(sandbox: Sandbox) -> None:
    first, second = place.machines(sandbox)

    assert (first.name, first.address, first.forwards[22]) == ("seat01-vm1", "198.18.7.11", 14_011)
    assert (second.name, second.address, second.forwards[22]) == (
        "seat01-vm2",
        "198.18.7.12",
        14_012,
    )
    assert first.cards.lan == second.cards.lan
    assert first.cards.mac != second.cards.mac
    assert first.folder != second.folder


def test_a_machine_is_finished_only_when_that_was_noted(sandbox: Sandbox) -> None:
    machine = place.machines(sandbox)[0]
    machine.folder.mkdir(parents=True)
    assert not machine.born

    machine.mark_born()

    assert machine.born


def test_the_inventory_says_how_a_machine_is_reached_from_here_and_by_its_mates(
    sandbox: Sandbox,
) -> None:
    host = lifecycle.host(place.machines(sandbox)[0])

    assert classfolder.inventory([host]).splitlines()[1] == (
        "seat01-vm1 ansible_host=127.0.0.1 seat=seat01 ansible_port=14011 "
        "seat_address=198.18.7.11 verify_forwards='{80: 14261, 443: 14511, 3000: 14761}'"
    )


def test_status_of_machines_that_are_not_there_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    place.write(sandbox)

    told = backends.status(tmp_path / "class")

    assert told.backend == "qemu"
    assert [(one.name, one.state, one.system) for one in told.machines] == [
        ("seat01-vm1", "exited", ""),
        ("seat01-vm2", "exited", ""),
    ]
    assert told.machines[0].ports[3000] == 14_761


def test_down_takes_what_a_killed_up_left(sandbox: Sandbox, tmp_path: Path) -> None:
    place.write(sandbox)
    (sandbox.folder / "seat01-vm1").mkdir()
    (sandbox.folder / "seat01-vm1" / "disk.qcow2").touch()
    said: list[str] = []

    backends.down(tmp_path / "class", said.append)

    assert not sandbox.folder.exists()
    assert said == ["removed the virtual machines (1) and their class"]


@pytest.mark.parametrize(
    ("counts", "release", "why"),
    [((1, 1), None, "more machines"), ((1, 2), "bookworm", "are Debian trixie")],
)
def test_machines_that_are_there_are_not_made_fewer_nor_others(
    sandbox: Sandbox, tmp_path: Path, counts: tuple[int, int], release: str | None, why: str
) -> None:
    place.write(sandbox)

    with pytest.raises(BadInput, match=why) as refused:
        backends.up(
            tmp_path / "class",
            seats=counts[0],
            machines_per_seat=counts[1],
            release=release,
            tell=told_nothing,
        )

    assert "sandbox down" in str(refused.value.hint)
    assert place.read(sandbox.name) == sandbox


def test_disks_get_no_other_image_below_them(sandbox: Sandbox, tmp_path: Path) -> None:
    place.write(sandbox)
    machine = place.machines(sandbox)[1]
    machine.folder.mkdir(parents=True)
    machine.mark_born()

    with pytest.raises(BadInput, match=r"disks build upon is gone: .*warm-0a503fcf") as refused:
        backends.up(tmp_path / "class", seats=1, machines_per_seat=2, tell=told_nothing)

    assert "sandbox down" in str(refused.value.hint)


def test_a_sandbox_stays_of_the_kind_that_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    place.write(replace(sandbox, name=plan.sandbox_id(tmp_path / "virtual")))
    classfolder.write_class(tmp_path / "containers", [])

    for directory, other in (("virtual", "docker"), ("containers", "qemu")):
        with pytest.raises(BadInput, match=f"not {other}"):
            backends.up(
                tmp_path / directory,
                seats=1,
                machines_per_seat=2,
                backend=other,
                tell=told_nothing,
            )
