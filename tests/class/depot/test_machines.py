"""A class's machines and their depot: without any upstream, and in the depot's last moments."""

import json

import pytest
from conftest import MACHINES, Room, docker, labkit
from docker_repository import make

from .conftest import depot, done, make_room, no_internet, no_registry

pytestmark = pytest.mark.machines

ONE = MACHINES[0]


def test_a_cold_class_becomes_ready_without_its_upstream(ready: Room) -> None:
    locked = (ready.directory / "images.lock.yml").read_text()

    for machine in MACHINES:
        record = json.loads(ready.as_root(machine, "cat /var/lib/labkit/images.json"))
        assert [one["digest"] for one in record.values() if one["digest"] not in locked] == []


def test_what_attendees_fetch_and_build_works_without_the_upstream(ready: Room) -> None:
    build = "cd $(mktemp -d) && cp -r ~/todo/. . && echo x >> README.md && docker build -q ."
    dockerfile = "FROM alpine:3.23\\nRUN echo another step\\n"
    with no_registry(ready):
        ready.as_root(ONE, "apt-get update -eany && apt-get install --reinstall -y tmux")
        for line in (build, f"printf '{dockerfile}' | docker build -q -"):
            built = ready.as_attendee(ONE, line)
            assert built.returncode == 0, built.stderr


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
        answer = ready.labkit("provision", "--limit", name, "-e", json.dumps(wanted))
        assert answer.states == {name: "ready"}, answer.explain()
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
        answer = running.finish()

    assert answer.states == {ONE: "ready"}, answer.explain()
    assert "depot" in json.dumps(answer.verdicts[ONE]["notes"])


def test_a_depot_that_does_not_answer_is_a_note(ready: Room) -> None:
    with ready.frozen("depot"):
        answer = ready.labkit("provision", "--limit", ONE, "--full")
        assert answer.states == {ONE: "ready"}, answer.explain()
        assert "does not answer" in json.dumps(answer.verdicts[ONE]["notes"])
    back = ready.labkit("provision", "--limit", ONE)

    assert back.states == {ONE: "ready"}, back.explain()
    assert "does not answer" not in json.dumps(back.verdicts[ONE]["notes"])


def test_a_bundle_makes_a_class_ready_in_a_room_without_internet(
    ready: Room, tmp_path_factory: pytest.TempPathFactory
) -> None:
    bundle = tmp_path_factory.mktemp("bundle") / "stock.tar"
    done(depot(ready, "bundle", str(bundle)))
    directory = tmp_path_factory.mktemp("room")
    try:
        room = make_room(directory, 1)
        done(depot(room, "up"))
        with no_registry(room), no_internet(room, "depot", ONE):
            done(depot(room, "seed", "--from", str(bundle)))
            bundle.unlink()
            cold = room.labkit("provision")
            assert cold.states == {ONE: "ready"}, cold.explain()
    finally:
        labkit("sandbox", "down", str(directory))
