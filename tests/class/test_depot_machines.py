"""A class's machines and their depot: with no upstream, in its last moments, and without a trace."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest
from conftest import MACHINES, Answer, Room, docker, labkit
from docker_repository import make
from snapshot import take

from labkit.sandbox import plan, registry

pytestmark = pytest.mark.machines

ONE = MACHINES[0]
# What a machine has of its depot, besides a line in daemon.json and in .npmrc.
TRACES = (
    "/etc/apt/apt.conf.d/95labkit-depot",
    "/usr/local/lib/labkit-apt-proxy",
    "/var/lib/labkit/depot.json",
)


def depot(verb: str, room: Room, *more: str) -> Answer:
    made = labkit("depot", verb, "-i", str(room.inventory), *more)
    assert made.code == 0, made.stdout + made.stderr
    return made


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A class of three bare machines whose depot holds its images."""
    room = Room(tmp_path_factory.mktemp("depot"))
    made = labkit(
        *("sandbox", "up", str(room.directory), "--depot"),
        *("--seats", "1", "--machines-per-seat", "3"),
    )
    try:
        assert made.code == 0, made.stderr
        depot("up", room)
        depot("seed", room)
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


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


@pytest.fixture(scope="module")
def ready(seeded: Room) -> Room:
    with no_registry(seeded):
        cold = seeded.labkit("provision")
        assert cold.states == dict.fromkeys(MACHINES, "ready"), cold.explain()
    return seeded


def test_a_cold_class_becomes_ready_without_its_upstream(ready: Room) -> None:
    locked = (ready.directory / "images.lock.yml").read_text()

    for machine in MACHINES:
        record = json.loads(ready.as_root(machine, "cat /var/lib/labkit/images.json"))
        assert [one["digest"] for one in record.values() if one["digest"] not in locked] == []


def test_what_attendees_fetch_and_build_works_without_the_upstream(ready: Room) -> None:
    build = "cd $(mktemp -d) && cp -r ~/todo/. . && echo x >> README.md && docker build -q ."
    dockerfile = "FROM debian:13-slim\\nRUN echo another step\\n"
    with no_registry(ready):
        ready.as_root(ONE, "apt-get update -eany && apt-get install --reinstall -y tmux")
        for line in (build, f"printf '{dockerfile}' | docker build -q -"):
            done = ready.as_attendee(ONE, line)
            assert done.returncode == 0, done.stderr


def test_a_second_run_changes_nothing_and_asks_the_depot_for_no_blob(ready: Room) -> None:
    again = ready.labkit("provision", "--full")

    assert again.states == dict.fromkeys(MACHINES, "ready"), again.explain()
    assert [line for line in again.lines if line.get("kind") == "changed"] == []


def test_other_mirrors_do_not_stop_what_an_attendee_runs(ready: Room) -> None:
    started = "docker inspect --format {{.State.StartedAt}} mine"
    assert (
        ready.as_attendee(ONE, "docker run -d --name mine alpine:3.23 sleep 3600").returncode == 0
    )
    before = ready.as_root(ONE, started)
    tags = ("--limit", ONE, "--tags", "docker_engine")
    without = ready.labkit("provision", *tags, "-e", "preflight_depot=")
    mirrors = ready.as_root(ONE, "docker info --format {{.RegistryConfig.Mirrors}}")
    back = ready.labkit("provision", *tags)

    assert (without.code, back.code) == (0, 0), without.explain() + back.explain()
    assert ":5080" not in mirrors
    assert ready.as_root(ONE, started) == before
    ready.as_root(ONE, "docker rm -f mine")


def test_dockers_packages_come_through_the_depot(
    ready: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    name, image = (
        MACHINES[2],
        json.loads(docker("inspect", ready.container(MACHINES[2])))[0]["Image"],
    )
    repository = make(tmp_path_factory.mktemp("repository"), image)
    with repository.served(ready.gateway) as url:
        wanted = {
            "docker_engine_source": "docker",
            "docker_engine_repository_url": url,
            "docker_engine_repository_fingerprint": repository.fingerprint,
        }
        done = ready.labkit("provision", "--limit", name, "-e", json.dumps(wanted))
        assert done.states == {name: "ready"}, done.explain()
        proxy = ready.as_root(name, f"/usr/local/lib/labkit-apt-proxy {url}/debian").strip()
        assert proxy.endswith(":3142")
    # The archive is gone; what it had is in the depot.
    cached = "rm -rf /var/lib/apt/lists/* && apt-get update -eany && apt-get download docker-ce"
    ready.as_root(name, f"cd /tmp && {cached} && rm -f docker-ce_*")


def test_a_depot_that_stops_while_images_are_pulled_is_left_and_told(ready: Room) -> None:
    ready.as_root(ONE, "docker image prune -af && docker builder prune -af")
    running = ready.running("provision", "--full", "--limit", ONE)
    running.await_event(ONE, "images")
    with ready.stopped("depot"):
        done = running.finish()

    assert done.states == {ONE: "ready"}, done.explain()
    assert "depot" in json.dumps(done.verdicts[ONE]["notes"])


def test_a_depot_that_does_not_answer_is_a_note(ready: Room) -> None:
    with ready.frozen("depot"):
        done = ready.labkit("provision", "--limit", ONE, "--full")
        assert done.states == {ONE: "ready"}, done.explain()
        assert "does not answer" in json.dumps(done.verdicts[ONE]["notes"])
    back = ready.labkit("provision", "--limit", ONE)

    assert back.states == {ONE: "ready"}, back.explain()
    assert "does not answer" not in json.dumps(back.verdicts[ONE]["notes"])


def test_a_bundle_makes_a_class_ready_in_a_room_without_internet(
    ready: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = tmp_path_factory.mktemp("bundle") / "stock.tar"
    depot("bundle", ready, str(bundle))
    room = Room(tmp_path_factory.mktemp("room"))
    made = labkit(
        *("sandbox", "up", str(room.directory), "--depot"),
        *("--seats", "1", "--machines-per-seat", "1"),
    )
    try:
        assert made.code == 0, made.stderr
        depot("up", room)
        with no_registry(room), no_internet(room, "depot", ONE):
            depot("seed", room, "--from", str(bundle))
            bundle.unlink()
            cold = room.labkit("provision")
            assert cold.states == {ONE: "ready"}, cold.explain()
    finally:
        labkit("sandbox", "down", str(room.directory))


def test_down_leaves_no_trace_on_a_machine(ready: Room) -> None:
    """Runs last: the class has no depot any more."""
    depot("down", ready)
    for machine in MACHINES:
        after = take(lambda line, name=machine: ready.as_root(name, line))
        assert [path for path in TRACES if path in after.files] == []
        left = "grep -rsl -e :5080 -e :3142 /etc /home /var/lib/labkit/sample_apps || true"
        assert ready.as_root(machine, left) == ""
        assert ":5080" not in ready.as_root(machine, "docker info")
