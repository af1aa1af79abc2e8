"""A depot that is taken down is forgotten by the class's machines, and leaves nothing on its own."""

import pytest
from conftest import MACHINES, Answer, Room
from snapshot import Snapshot, take

from .conftest import depot

pytestmark = pytest.mark.machines

# What a machine has of its depot, besides a line in daemon.json and in .npmrc.
TRACES = (
    "/etc/apt/apt.conf.d/95labkit-depot",
    "/usr/local/lib/labkit-apt-proxy",
    "/var/lib/labkit/depot.json",
)


@pytest.fixture(scope="module")
def taken_down(ready: Room, before: Snapshot) -> Answer:
    assert before.files
    return depot(ready, "down")


def test_no_machine_knows_of_it_any_more(ready: Room, taken_down: Answer) -> None:
    assert taken_down.code == 0, taken_down.explain()
    for machine in MACHINES:
        after = take(lambda line, name=machine: ready.as_root(name, line))
        assert [path for path in TRACES if path in after.files] == [], machine
        left = "grep -rsl -e :5080 -e :3142 /etc /home /var/lib/labkit/sample_apps || true"
        assert ready.as_root(machine, left) == ""
        assert ":5080" not in ready.as_root(machine, "docker info")


def test_its_own_machine_is_as_it_was(ready: Room, taken_down: Answer, before: Snapshot) -> None:
    assert taken_down.states["depot"] == "provisioned"
    left = take(lambda line: ready.as_root("depot", line)).files

    assert [one for one in set(left) - set(before.files) if "labkit" in str(one)] == []
    assert depot(ready, "status").code == 1
