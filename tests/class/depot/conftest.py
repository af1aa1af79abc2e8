"""One class of three bare machines with a depot: used, gone without, and taken down at last."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml
from conftest import MACHINES, Answer, Room, labkit
from snapshot import Snapshot, take

from labkit.sandbox import plan, registry

# Of the workshop's images those that its builds begin with: each is unpacked on every machine.
IMAGES = ("hello-world", "ubuntu:24.04", "node:24.19.0-slim", "alpine:3.23")
# Of another registry than Docker Hub, as far as the class knows: its mirrors serve none of these.
OTHER = "images.example/library/nginx:1.30.4-alpine"
INPUTS = {
    "images_pull": [{"reference": name, "disk_mb": 200} for name in (*IMAGES, OTHER)],
    # One with packages, one with npm's modules: the others fetch the same.
    "images_build": [
        {"context": "fortune-clock", "files": ["Dockerfile"]},
        {"context": "todo", "files": ["Dockerfile"]},
    ],
    "images_database": "",
    "swarm_node_registry": "none",
}


def make_room(directory: Path, machines: int) -> Room:
    """Make a sandbox of one seat with a depot."""
    made = labkit(
        *("sandbox", "up", str(directory), "--depot"),
        *("--seats", "1", "--machines-per-seat", str(machines)),
    )
    assert made.code == 0, made.stderr
    folder = directory / "group_vars"
    (folder / "machines" / "few.yml").write_text(json.dumps(INPUTS))
    upstreams = yaml.safe_load((folder / "depot" / "depot.yml").read_text())["depot_upstreams"]
    both = {**upstreams, OTHER.partition("/")[0]: upstreams["docker.io"]}
    (folder / "depot" / "other.yml").write_text(json.dumps({"depot_upstreams": both}))
    return Room(directory)


def depot(room: Room, verb: str, *arguments: str) -> Answer:
    return labkit("depot", verb, "-i", str(room.inventory), "--json", *arguments)


def done(answer: Answer) -> Answer:
    """Return an answer of which the run went well."""
    assert answer.code == 0, answer.stdout + answer.stderr
    return answer


@contextmanager
def no_registry(room: Room) -> Iterator[None]:
    """Switch the sandbox's registry off, which is the upstream of its depot."""
    sandbox = plan.sandbox_id(room.directory)
    assert registry.stop_registry(sandbox)
    try:
        yield
    finally:
        registry.ensure_registry(sandbox, IPv4Address(room.gateway))


@contextmanager
def no_internet(room: Room, *machines: str) -> Iterator[None]:
    """Take the way out from machines: what answers on their own network is all that is left."""
    route = room.as_root(machines[0], "ip route show default").strip()
    for machine in machines:
        room.as_root(machine, "ip route del default")
    try:
        yield
    finally:
        for machine in machines:
            room.as_root(machine, f"ip route add {route}")


@pytest.fixture(scope="session")
def depot_class(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A class of three bare machines, and a bare one for its depot."""
    directory = tmp_path_factory.mktemp("depot")
    try:
        yield make_room(directory, len(MACHINES))
    finally:
        labkit("sandbox", "down", str(directory))


@pytest.fixture(scope="session")
def before(depot_class: Room) -> Snapshot:
    """What the depot's machine held before it was a depot."""
    return take(lambda line: depot_class.as_root("depot", line))


@pytest.fixture(scope="session")
def up(depot_class: Room, before: Snapshot) -> Answer:
    assert before.files
    return depot(depot_class, "up")


@pytest.fixture(scope="session")
def serving(depot_class: Room, up: Answer) -> Room:
    """The class, with a depot that serves."""
    assert up.code == 0, up.explain()
    return depot_class


@pytest.fixture(scope="session")
def ready(serving: Room) -> Room:
    """The class, made ready through its depot while the upstream registry was off."""
    done(depot(serving, "seed"))
    with no_registry(serving):
        cold = serving.labkit("provision")
        assert cold.states == dict.fromkeys(MACHINES, "ready"), cold.explain()
    return serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the depot's own tests before those of its class, and what takes it away behind all."""
    rank = ("test_service", "test_stock", "test_machines", "test_taken_down")
    place = {item: rank.index(item.path.stem) for item in items if item.path.parent.name == "depot"}
    items.sort(key=lambda item: place.get(item, -1))
