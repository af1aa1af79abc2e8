"""A class's machines and their depot: without any upstream, and in the depot's last moments."""

import json
from collections.abc import Iterator

import hub
import pytest
import yaml
from conftest import MACHINES, Room, docker, labkit
from docker_repository import make

from .conftest import IMAGES, OTHER, depot, done, make_room, no_internet, no_registry

pytestmark = pytest.mark.machines

ONE = MACHINES[0]
# The sandbox's registry has it, the class's list has not.
UNSEEDED = "library/registry:3.1.2"
MIRRORS = "docker info --format {{.RegistryConfig.Mirrors}}"
LOG = "/var/lib/labkit-depot/log/access.jsonl"


def test_a_cold_class_becomes_ready_without_its_upstream(ready: Room) -> None:
    locked = (ready.directory / "images.lock.yml").read_text()

    for machine in MACHINES:
        record = json.loads(ready.as_root(machine, "cat /var/lib/labkit/images.json"))
        assert [one["digest"] for one in record.values() if one["digest"] not in locked] == []


def test_an_image_of_another_registry_came_from_the_depot_and_has_its_own_name(ready: Room) -> None:
    with no_registry(ready):
        for machine in MACHINES:
            ran = ready.as_attendee(machine, f"docker run --rm --pull never {OTHER} nginx -v")
            assert ran.returncode == 0, ran.stderr
        built = ready.as_attendee(ONE, f"printf 'FROM {OTHER}\\n' | docker build -q -")
        assert built.returncode == 0, built.stderr


def test_what_attendees_fetch_and_build_works_without_the_upstream(ready: Room) -> None:
    build = "cd $(mktemp -d) && cp -r ~/todo/. . && echo x >> README.md && docker build -q ."
    dockerfile = "FROM alpine:3.23\\nRUN echo another step\\n"
    with no_registry(ready):
        ready.as_root(ONE, "apt-get update -eany && apt-get install --reinstall -y tmux")
        for line in (build, f"printf '{dockerfile}' | docker build -q -"):
            built = ready.as_attendee(ONE, line)
            assert built.returncode == 0, built.stderr


def blobs(room: Room) -> int:
    """Return how many blobs the depot was asked for so far."""
    return int(room.as_root("depot", f"grep -c /blobs/ {LOG} || true"))


def test_a_second_run_changes_nothing_and_asks_the_depot_for_no_blob(ready: Room) -> None:
    asked = blobs(ready)
    assert asked
    again = ready.labkit("provision", "--full")

    assert again.states == dict.fromkeys(MACHINES, "ready"), again.explain()
    assert [line for line in again.lines if line.get("kind") == "changed"] == []
    assert blobs(ready) == asked


def test_other_mirrors_do_not_stop_what_an_attendee_runs(ready: Room) -> None:
    started = "docker inspect --format {{.State.StartedAt}} mine"
    assert (
        ready.as_attendee(ONE, "docker run -d --name mine alpine:3.23 sleep 3600").returncode == 0
    )
    before = ready.as_root(ONE, started)
    tags = ("--limit", ONE, "--tags", "docker_engine")
    without = ready.labkit("provision", *tags, "--no-verify", "-e", "preflight_depot=")
    mirrors = ready.as_root(ONE, MIRRORS)
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


def die_at_the_next_manifest(room: Room) -> None:
    """Have the depot's service killed as soon as it has told what an image consists of."""
    lines = int(room.as_root("depot", f"wc -l < {LOG}"))
    asked = f"tail -n +{lines + 1} {LOG} | grep -q /manifests/"
    dies = "systemctl kill -s KILL labkit-depot-nginx; systemctl stop labkit-depot-nginx"
    program = f"until {asked}; do sleep 0.05; done; {dies}"
    room.as_root("depot", f'systemd-run -q sh -c "{program}"')


def test_a_depot_that_stops_while_images_are_pulled_is_left_and_told(ready: Room) -> None:
    ready.as_root(ONE, "docker image prune -af && docker builder prune -af")
    # Elsewhere than in the depot there is none of the other registry's.
    images = json.dumps({"images_pull": [{"reference": name} for name in IMAGES]})
    die_at_the_next_manifest(ready)
    try:
        answer = ready.labkit("provision", "--full", "--limit", ONE, "-e", images)
    finally:
        ready.as_root("depot", "systemctl start labkit-depot-nginx")

    assert answer.states == {ONE: "ready"}, answer.explain()
    assert "stopped answering while images were pulled" in json.dumps(answer.verdicts[ONE]["notes"])
    assert ":5080" not in ready.as_root(ONE, MIRRORS)
    back = ready.labkit("provision", "--limit", ONE)
    assert back.states == {ONE: "ready"}, back.explain()
    assert ":5080" in ready.as_root(ONE, MIRRORS)


def test_a_blob_altered_in_the_depot_is_refused_by_its_digest(ready: Room) -> None:
    """Whatever was done to the store, what a machine gets is what was seeded.

    The image shares its layer with no other, so that it has to come.
    """
    lock = yaml.safe_load((ready.directory / "images.lock.yml").read_text())["images"]
    manifest = lock["hello-world"]["platforms"]["amd64"]["digest"].removeprefix("sha256:")
    top = "/var/lib/labkit-depot/store/docker/registry/v2/blobs/sha256"
    named = json.loads(ready.as_root("depot", f"cat {top}/{manifest[:2]}/{manifest}/data"))
    layer = named["layers"][-1]["digest"].removeprefix("sha256:")
    data = f"{top}/{layer[:2]}/{layer}/data"
    ready.as_root("depot", f"cp -p {data} /root/layer; printf X | dd of={data} conv=notrunc")
    ready.as_root(ONE, "docker image rm -f hello-world; docker image prune -f")
    try:
        with no_registry(ready):
            refused = ready.labkit("provision", "--limit", ONE, "--tags", "images")
        assert refused.states == {ONE: "not ready"}, refused.explain()
        assert f"verification failed for digest sha256:{layer}" in refused.reasons(ONE)
    finally:
        ready.as_root("depot", f"cp -p /root/layer {data}; rm /root/layer")
    again = ready.labkit("provision", "--limit", ONE)
    assert again.states == {ONE: "ready"}, again.explain()


def test_a_depot_that_does_not_answer_is_a_note(ready: Room) -> None:
    with ready.frozen("depot"):
        answer = ready.labkit("provision", "--limit", ONE, "--full")
        assert answer.states == {ONE: "ready"}, answer.explain()
        assert "does not answer" in json.dumps(answer.verdicts[ONE]["notes"])
    back = ready.labkit("provision", "--limit", ONE)

    assert back.states == {ONE: "ready"}, back.explain()
    assert "does not answer" not in json.dumps(back.verdicts[ONE]["notes"])
    assert ":5080" in ready.as_root(ONE, MIRRORS)


@pytest.fixture(scope="module")
def failing(ready: Room) -> Iterator[hub.Hub]:
    """The depot's upstream, in place of the sandbox's registry: that is the machines' next mirror."""
    with hub.serving(hub.Hub(), ready.gateway) as one:
        one.image(*UNSEEDED.split(":"), b"layer", "amd64")
        upstreams = json.dumps({"depot_upstreams": {"docker.io": one.url}})
        done(depot(ready, "up", "-e", upstreams))
        yield one
        one.faults.clear()
    done(depot(ready, "up"))


@pytest.mark.parametrize(
    ("asked", "fault"),
    [("/manifests/", 429), ("/manifests/", 500), ("/manifests/", "hang"), ("/blobs/", "hang")],
)
def test_an_image_that_was_not_seeded_comes_from_elsewhere_if_the_upstream_fails(
    ready: Room, failing: hub.Hub, asked: str, fault: int | str
) -> None:
    kept, through = "/var/lib/labkit-depot", "labkit-depot-through"
    answers = "curl -sSf --retry 9 --retry-connrefused --retry-delay 1 http://127.0.0.1:5082/v2/"
    emptied = f"rm -rf {kept}/through/* {kept}/passing/*"
    again = f"systemctl stop {through}; {emptied}; systemctl start {through} && {answers}"
    ready.as_root("depot", again)
    failing.asked.clear()
    failing.faults = {asked: [fault] * 99}
    image = UNSEEDED.removeprefix("library/")
    pulled = ready.as_attendee(ONE, f"docker pull -q {image} && docker image rm {image}")

    assert pulled.returncode == 0, pulled.stderr
    assert failing.count(asked)


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
