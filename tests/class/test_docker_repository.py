"""
`docker_engine_source: docker`, from its key to a change of the source, on real packages.

Docker's packages are Debian's engines under Docker's names: see docker_repository.sh.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from conftest import MACHINES, Answer, Room, docker, labkit
from docker_repository import Repository, make

pytestmark = pytest.mark.machines

PACKAGES = {
    *("docker-ce", "docker-ce-cli", "containerd.io"),
    *("docker-buildx-plugin", "docker-compose-plugin"),
}
ATTENDEES_OWN = (
    "docker run -d --name mine --stop-timeout 1 -v kept:/data ubuntu:24.04"
    ' sh -c "echo precious > /data/file; sleep 3600" && docker tag hello-world mine:1'
)


@pytest.fixture(scope="module")
def repository(bare: Room, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    image = json.loads(docker("inspect", bare.container(MACHINES[0])))[0]["Image"]
    return make(tmp_path_factory.mktemp("repository"), image)


@pytest.fixture(scope="module")
def bookworm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A class of one bare machine with Debian 12."""
    room = Room(tmp_path_factory.mktemp("bookworm"))
    made = labkit(
        *("sandbox", "up", str(room.directory), "--machines-per-seat", "1"),
        *("--release", "bookworm"),
    )
    try:
        assert made.code == 0, made.stderr
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


class Subject:
    """One machine, provisioned from the repository."""

    def __init__(self, room: Room, name: str, repository: Repository, url: str) -> None:
        self.room, self.name, self.repository = room, name, repository
        self.source = {
            "docker_engine_source": "docker",
            "docker_engine_repository_url": url,
            "docker_engine_repository_fingerprint": repository.fingerprint,
        }

    def provision(self, *words: str, **inputs: object) -> Answer:
        wanted = json.dumps({**self.source, **inputs})
        return self.room.labkit("provision", "--limit", self.name, "-e", wanted, *words)

    def rehearse(self, chapters: str) -> Answer:
        """Rehearse beside what the attendee has on the machine."""
        words = ("--limit", self.name, "-e", json.dumps(self.source))
        return self.room.labkit("verify", f"--rehearse={chapters}", "--force", *words)

    def root(self, line: str) -> str:
        return self.room.as_root(self.name, line)

    def assert_runs(self, answer: Answer, version: str) -> None:
        """The machine is ready, with this version's packages, held, and its engine."""
        assert answer.states == {self.name: "ready"}, answer.explain()
        rows = dict(
            row.split(" ", 1)
            for row in self.root("dpkg -l | awk /docker-ce/{print\\$2,\\$3}").splitlines()
        )
        assert set(self.root("apt-mark showhold").split()) == PACKAGES
        assert rows["docker-ce"].startswith(f"5:{version}-1~debian.")
        assert rows["docker-ce-cli"] == rows["docker-ce"]
        seen = self.root("docker version --format {{.Server.Version}}").partition("+")[0].strip()
        assert seen == self.repository.engines[version]

    def assert_attendees_own_is_there(self) -> None:
        assert self.root("docker exec mine cat /data/file") == "precious\n"
        assert "mine:1" in self.root("docker image ls --format {{.Repository}}:{{.Tag}}")


@contextmanager
def subject(room: Room, name: str, repository: Repository) -> Iterator[Subject]:
    with repository.served(room.gateway) as url:
        yield Subject(room, name, repository, url)


def test_debian_12_gets_its_engine_from_docker(bookworm: Room, repository: Repository) -> None:
    older, newer = repository.engines
    with subject(bookworm, MACHINES[0], repository) as machine:
        impossible = machine.provision(docker_engine_source="distribution")
        assert "Debian 12 itself has no Compose v2" in impossible.reasons(machine.name)

        # What older instructions leave: apt refuses one repository with two keys.
        list_ = "/etc/apt/sources.list.d/docker.list"
        key = "/etc/apt/keyrings/docker.gpg"
        url = machine.source["docker_engine_repository_url"]
        machine.root(
            f"mkdir -p /etc/apt/keyrings && touch {key} && "
            f"echo deb [signed-by={key}] {url}/debian bookworm stable > {list_}"
        )
        forged = machine.provision(docker_engine_repository_fingerprint="A" * 40)
        assert forged.states == {machine.name: "not ready"}
        assert f"expected {'A' * 40}, seen {repository.fingerprint}" in forged.reasons(machine.name)
        assert machine.root(f"ls {list_} {key}")
        assert not machine.root("ls /etc/apt/sources.list.d | grep docker.sources || true")

        machine.assert_runs(machine.provision(docker_engine_version=older), older)
        assert not machine.root(f"ls {list_} {key} 2>/dev/null || true")
        source = machine.root("cat /etc/apt/sources.list.d/docker.sources")
        assert f"URIs: {url}/debian\nSuites: bookworm\nComponents: stable\n" in source
        assert "Signed-By: /etc/apt/keyrings/docker.asc\n" in source

        # A newer engine in the archive is no reason to change that of the class.
        again = machine.provision()
        machine.assert_runs(again, older)
        assert not [one for one in again.lines if one.get("kind") == "changed"]

        assert bookworm.as_attendee(machine.name, ATTENDEES_OWN).returncode == 0
        machine.assert_runs(machine.provision(docker_engine_version=newer), newer)
        machine.assert_attendees_own_is_there()

        refused = machine.provision(docker_engine_version=older)
        assert refused.states == {machine.name: "not ready"}
        assert f"docker-ce 5:{newer}-1~debian.12~bookworm to 5:{older}-1" in refused.reasons(
            machine.name
        )
        assert "docker_engine_downgrade: true" in refused.reasons(machine.name)
        assert set(machine.root("apt-mark showhold").split()) == PACKAGES

        asked = machine.provision(docker_engine_version=older, docker_engine_downgrade=True)
        machine.assert_runs(asked, older)
        machine.assert_attendees_own_is_there()


def test_debian_13_changes_from_the_distributions_engine_to_dockers_and_back(
    room: Room, repository: Repository
) -> None:
    *_, newer = repository.engines
    name = MACHINES[2]
    assert room.as_attendee(name, ATTENDEES_OWN).returncode == 0
    with subject(room, name, repository) as machine:
        machine.assert_runs(machine.provision(docker_engine_version=newer), newer)
        machine.assert_attendees_own_is_there()
        # Run, build and Compose answer in the words of another release than the distribution's.
        rehearsed = machine.rehearse("2,7,12")
        assert rehearsed.states == {name: "ready"}, rehearsed.explain()
        machine.assert_attendees_own_is_there()

        back = room.labkit("provision", "--limit", name)

        assert back.states == {name: "ready"}, back.explain()
        machine.assert_attendees_own_is_there()
        assert "docker.io" in machine.root("apt-mark showhold").split()
        # Else preflight would miss the server that is gone now.
        machine.root("rm /etc/apt/sources.list.d/docker.sources /etc/apt/keyrings/docker.asc")
        machine.root("docker rm -f mine && docker volume rm kept && docker rmi mine:1")
