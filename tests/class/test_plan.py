"""What a plan says of real machines, and that it leaves them as they are."""

import shutil
from collections.abc import Iterator

import pytest
from conftest import MACHINES, Answer, Room, labkit
from snapshot import take

from labkit.lock import Locked, Pinned, write_lock

pytestmark = pytest.mark.machines

ALL = len(MACHINES)


def machines(answer: Answer) -> list[dict]:
    return [line for line in answer.lines if line["type"] == "machine"]


def whole(answer: Answer) -> dict:
    return next(line for line in answer.lines if line["type"] == "class")


@pytest.fixture
def unlocked(room: Room) -> Iterator[Room]:
    """The class without a lock, and without what an earlier plan was told."""
    yield room
    (room.directory / "images.lock.yml").unlink(missing_ok=True)
    shutil.rmtree(room.directory / ".labkit" / "manifests", ignore_errors=True)


def test_a_provisioned_class_has_nothing_to_fetch(unlocked: Room) -> None:
    answer = unlocked.labkit("plan")

    assert answer.code == 0, answer.stdout + answer.stderr
    assert [one["machine"] for one in machines(answer)] == list(MACHINES)
    assert not [one for one in machines(answer) if one["missing"] or one["unknown"]]
    assert whole(answer)["direct_bytes"] == 0
    assert whole(answer)["works"]


def test_a_plan_changes_nothing_on_a_machine(unlocked: Room) -> None:
    def look() -> object:
        return take(lambda line: unlocked.as_root(MACHINES[0], line)).files

    before = look()
    unlocked.labkit("plan")

    assert look() == before


def test_an_image_that_is_gone_travels_to_its_machine_alone(unlocked: Room) -> None:
    unlocked.as_root(MACHINES[1], "docker image rm -f hello-world")
    try:
        answer = unlocked.labkit("plan")
    finally:
        unlocked.labkit("provision", "--tags", "images")

    missing = {
        one["machine"]: [image["reference"] for image in one["missing"]] for one in machines(answer)
    }
    assert missing == {MACHINES[0]: [], MACHINES[1]: ["hello-world"], MACHINES[2]: []}
    assert whole(answer)["direct_pulls"] == whole(answer)["depot_pulls"] == 1
    assert 0 < whole(answer)["direct_bytes"] < 10**7
    # Through the sandbox's own registry, since Docker Hub is none of its ways.
    assert whole(answer)["bytes_per_second"] > 0, whole(answer)["measured"]


def test_the_lock_says_what_an_image_has_to_be(unlocked: Room) -> None:
    other = f"sha256:{'0' * 64}"
    pinned = Locked(other, {"amd64": Pinned(other, 5_000_000)})
    write_lock(unlocked.directory, {"hello-world": pinned})
    answer = unlocked.labkit("plan")

    assert whole(answer)["source"].startswith("images.lock.yml")
    assert whole(answer)["direct_bytes"] == ALL * 5_000_000
    assert whole(answer)["depot_bytes"] == 5_000_000


def test_a_machine_that_is_off_is_named_and_the_others_are_planned(unlocked: Room) -> None:
    with unlocked.stopped(MACHINES[2]):
        answer = unlocked.labkit("plan")

    assert answer.code == 1
    assert [one["machine"] for one in machines(answer)] == list(MACHINES[:2])
    warned = [line for line in answer.lines if line["type"] == "warning"]
    assert [one["about"] for one in warned] == [MACHINES[2]]


def test_a_disk_that_is_too_small_cannot_work(unlocked: Room) -> None:
    unlocked.as_root(MACHINES[0], "docker image rm -f hello-world")
    try:
        limit = ("--limit", MACHINES[0], "-e", "images_reserve_mb=99999999")
        answer = unlocked.labkit("plan", *limit)
    finally:
        unlocked.labkit("provision", "--tags", "images")

    assert answer.code == 1
    (warned,) = [line for line in answer.lines if line["type"] == "warning"]
    assert warned["about"] == MACHINES[0]
    assert "needed" in warned["what"]


def test_on_paper_the_machines_come_first_and_the_totals_behind(unlocked: Room) -> None:
    answer = labkit("plan", "-i", str(unlocked.inventory))

    lines = answer.stdout.splitlines()
    assert lines[0].startswith("machine")
    assert [line.split()[0] for line in lines[1 : 1 + ALL]] == list(MACHINES)
    assert "Docker Hub: 0 pulls without a depot" in answer.stdout
