"""Chapters on real machines: what works is carried out, what fails is named, nothing is left."""

import base64
import json
import re
import signal
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from conftest import MACHINES, Answer, Room, Running

pytestmark = pytest.mark.machines

GUIDE = Path(__file__).parent / "guide"
VM1, VM2, VM3 = MACHINES
ALL_READY = dict.fromkeys(MACHINES, "ready")
LOOK = (
    "docker ps --all --format {{.Names}}; docker image ls --format {{.Repository}}:{{.Tag}}={{.ID}}; "
    "docker volume ls -q; docker network ls -q; docker info --format {{.Swarm.LocalNodeState}}; "
    "ls -A /var/lib/labkit; find ~student -not -path */.docker* -type f -exec md5sum {} +; "
    "find ~student -not -path */.docker* -printf %p:%m:%u:%s\\n | grep -v :d"
)


@pytest.fixture
def class_(room: Room) -> Iterator[Room]:
    """A class on which nothing is left of what a test did."""
    yield room
    for machine in MACHINES:
        room.as_root(
            machine, "rm -f /tmp/here /tmp/go /tmp/slow; docker ps -aq | xargs -r docker rm -f"
        )


def found(room: Room) -> dict[str, list[str]]:
    """Return all that is on each machine, as root sees it."""
    return {one: sorted(room.as_root(one, LOOK).splitlines()) for one in MACHINES}


def rehearse(room: Room, *arguments: str, guide: Path = GUIDE, chapters: str = "all") -> Answer:
    return room.labkit("verify", f"--rehearse={chapters}", "--guide", str(guide), *arguments)


def events(answer: Answer, kind: str, part: str = "chapter") -> list[tuple[str, str, str]]:
    return [
        (one["machine"], one["part"], one["step"])
        for one in answer.lines
        if one["type"] == "event" and one["kind"] == kind and one["part"].startswith(part)
    ]


def notes(answer: Answer, machine: str) -> str:
    return "\n".join(answer.verdicts[machine]["notes"])


def write(folder: Path, **chapters: str) -> Path:
    """Write a guide of chapters, each a title and one console."""
    for name, console in chapters.items():
        (folder / f"{name[1:]}.md").write_text(f"# {name}\n\n{console}\n")
    return folder


def test_a_whole_guide_works_and_each_machine_is_left_as_it_was_found(
    class_: Room, tmp_path: Path
) -> None:
    before = found(class_)
    junit, page = tmp_path / "junit.xml", tmp_path / "report.html"
    answer = rehearse(class_, "--junit", str(junit), "--html", str(page))

    assert answer.code == 0, answer.explain()
    assert answer.states == ALL_READY
    assert found(class_) == before
    passed = events(answer, "ok")
    for chapter, steps in (("chapter 01", 5), ("chapter 02", 13), ("chapter 03", 8)):
        for machine in MACHINES:
            its = [one for one in passed if one[:2] == (machine, chapter)]
            assert len(its) == steps + 1, (machine, chapter, its)
    assert (VM2, "chapter 04", "step 2: docker swarm join --token SWMTKN-1-... vm1:2377") in passed
    for machine in MACHINES:
        assert "put back after chapter 03: container left, network ours" in notes(answer, machine)
        assert "chapter 03 in part left out: no routing mesh" in notes(answer, machine)
    cases = [(one.get("classname"), one.get("name")) for one in ET.parse(junit).iter("testcase")]
    assert (f"{VM3}.chapter 03", "step 1: docker volume create words") in cases
    assert "step 1: docker volume create words" in page.read_text()
    # Who has a token joins the swarm.
    said = answer.stdout + page.read_text() + junit.read_text()
    assert "SWMTKN-1-…" in said
    assert not re.search("SWMTKN-1-[0-9a-z]", said)


def test_a_chapter_can_be_run_alone(class_: Room) -> None:
    answer = rehearse(class_, "--limit", VM1, chapters="3")

    assert answer.states == {VM1: "ready"}, answer.explain()
    assert {part for _, part, _ in events(answer, "ok")} == {"chapter 03"}
    assert events(answer, "ok")[0][2] == "step 1: docker volume create words"


def test_a_chapter_that_lacks_machines_spoils_nothing_unless_it_was_named(class_: Room) -> None:
    answer = rehearse(class_, "--limit", VM2, guide=GUIDE)

    assert (answer.code, answer.states) == (0, {VM2: "ready"}), answer.explain()
    assert "chapter 04 not run: needs 3 machines" in notes(answer, VM2)
    named = rehearse(class_, "--limit", VM2, chapters="4")
    assert named.code == 2
    assert "chapter 04 needs 3 machines" in named.stderr


@contextmanager
def logged_in(room: Room, machine: str) -> Iterator[None]:
    """Have the attendee sit at a terminal, without a terminal of our own."""
    line = 'script -qec "sleep 100" /dev/null'
    room.as_root(machine, f"systemd-run -q --unit sitting --uid student {line}")
    try:
        yield
    finally:
        room.as_root(machine, "systemctl stop sitting")


def test_a_machine_on_which_somebody_works_is_not_touched_unless_forced(class_: Room) -> None:
    class_.as_root(VM1, "docker run -d --name precious -v kept:/kept ubuntu:24.04 sleep 3600")
    with logged_in(class_, VM2):
        before = found(class_)
        answer = rehearse(class_, chapters="1")
        assert found(class_) == before
    forced = rehearse(class_, "--force", chapters="2")

    assert answer.states == {VM1: "not ready", VM2: "not ready", VM3: "ready"}, answer.explain()
    assert "containers run: precious" in answer.reasons(VM1)
    assert "student is logged in: " in answer.reasons(VM2)
    assert "--force" in answer.reasons(VM2)
    assert {machine for machine, _, _ in events(answer, "ok")} == {VM3}
    assert forced.states == ALL_READY, forced.explain()
    assert "precious" in class_.as_root(VM1, "docker ps --format {{.Names}}")
    class_.as_root(VM1, "docker rm -f precious && docker volume rm kept")


def test_an_attendee_whose_password_is_unknown_is_rehearsed_through_root(class_: Room) -> None:
    logins = class_.directory / "logins.csv"
    aside = logins.rename(logins.with_name("aside.csv"))
    try:
        answer = rehearse(class_, "--limit", VM1, chapters="1-2")
    finally:
        aside.rename(logins)

    assert answer.states == {VM1: "ready"}, answer.explain()
    assert len(events(answer, "ok")) == 5 + 13 + 2


ARRIVED = "for n in $(seq 600); do test -e /tmp/here && exit; sleep 0.1; done; exit 1"
GATE = """```console
$ touch /tmp/here; until test -e /tmp/go; do sleep 0.1; done
"""


class Gate:
    """A rehearsal that stands at its first step on all machines, until it is let go."""

    def __init__(self, room: Room, guide: Path, machines: Sequence[str] = MACHINES) -> None:
        self._room, self._machines = room, machines
        limit = ("--limit", ",".join(machines))
        self.run: Running = room.running("verify", "--rehearse", "--guide", str(guide), *limit)

    def __enter__(self) -> Self:
        for machine in self._machines:
            self._room.as_root(machine, ARRIVED)
        return self

    def __exit__(self, *error: object) -> None:
        if self.run.processes():
            self.run.send(signal.SIGINT)
            self.run.finish()

    def open(self) -> Answer:
        for machine in self._machines:
            self._room.as_root(machine, "touch /tmp/go")
        return self.run.finish()


@dataclass(frozen=True)
class Fault:
    """What is done to a machine, how it is undone, and where it has to be found."""

    machine: str
    seed: str
    undo: str
    chapter: str
    step: int
    answer: str
    todo: str = ""


DNS = """import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    asked, who = s.recvfrom(512)
    has = asked[-4:-2] == b"\\0\\1"
    head = asked[:2] + b"\\x81\\x80\\0\\1" + (b"\\0\\1" if has else b"\\0\\0") + b"\\0\\0\\0\\0"
    answer = b"\\xc0\\x0c\\0\\1\\0\\1\\0\\0\\0\\0\\0\\4\\xc0\\0\\2\\1" if has else b""
    s.sendto(head + asked[12:] + answer, who)
"""
NAMES = base64.b64encode(DNS.encode()).decode()
# What has to be there, on every machine, for the chapters to pass.
STAGE = (
    "docker tag ubuntu:24.04 workshop:1; mkdir -p -m 777 /srv/small; "
    "systemd-run -q --unit names python3 /srv/names.py"
)
UNSTAGE = "docker rmi workshop:1; rm -r /srv/small /srv/names.py; systemctl stop names || true"
CHAPTERS = {
    "_01-image-and-app": f"""{GATE}$ docker run --rm workshop:1 true
$ docker build --quiet fortune-clock
sha256:...
```""",
    "_02-port": """```console
$ docker run --detach --rm --name web --publish 8080:80 ubuntu sleep 60
...
$ docker rm --force web
web
```""",
    "_03-compose": """```console
$ docker compose version
Docker Compose version ...
```""",
    "_04-registry": """```console
$ docker pull --quiet hello-world
docker.io/library/hello-world:latest
```""",
    "_05-disk": """```console
$ docker run --rm -v /srv/small:/data ubuntu dd if=/dev/zero of=/data/file bs=1M count=3
...
$ docker run --rm -v /srv/small:/data ubuntu rm /data/file
```""",
    "_06-names": """```console
$ server=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
$ docker run --rm --dns $server --dns-option timeout:1 ubuntu getent hosts db.test
192.0.2.1 ...
```""",
    "_07-limit": """<!-- rehearse: limit=15 -->
```console
$ while test -e /tmp/slow; do sleep 0.2; done
$ true
```""",
}
PLUGIN = "$(find /usr -name docker-compose -path \\*cli-plugins\\*)"
PLUGINS = "$(dirname $(find /usr -name docker-buildx -path \\*cli-plugins\\*))"
FAULTS = (
    Fault(VM1, "docker rmi workshop:1", "true", "01", 2, "Unable to find image", "images"),
    Fault(
        VM2,
        "echo RUN oops-no-such-command >> ~student/fortune-clock/Dockerfile",
        "true",
        "01",
        3,
        "oops-no-such-command",
    ),
    Fault(
        VM3,
        "systemd-run -q --unit taken python3 -m http.server 8080",
        "systemctl stop taken",
        "02",
        1,
        "address already in use",
        "ss -ltnp",
    ),
    Fault(
        VM1,
        f"mv {PLUGIN} /root/compose",
        f"mv /root/compose {PLUGINS}/docker-compose",
        "03",
        1,
        "compose",
        "docker_engine",
    ),
    Fault(
        VM2,
        "iptables -I OUTPUT -p tcp -d {gateway} ! --sport 22 -j REJECT",
        "iptables -D OUTPUT -p tcp -d {gateway} ! --sport 22 -j REJECT",
        "04",
        1,
        "Error response from daemon",
    ),
    Fault(
        VM3,
        "mount -t tmpfs -o size=1m none /srv/small",
        "umount /srv/small",
        "05",
        1,
        "No space left on device",
        "df -h",
    ),
    Fault(VM1, "systemctl stop names", "true", "06", 2, "exit 2 instead of 0"),
    Fault(VM2, "touch /tmp/slow", "rm -f /tmp/slow", "07", 1, "no end within 15 s", "top"),
)


@pytest.fixture
def staged(class_: Room) -> Iterator[Room]:
    for machine in MACHINES:
        class_.as_root(machine, f"echo {NAMES} | base64 -d > /srv/names.py; {STAGE}")
    yield class_
    for machine in MACHINES:
        class_.as_root(machine, UNSTAGE)


def test_each_fault_is_found_at_its_step_on_its_machine_and_nothing_else(
    staged: Room, tmp_path: Path
) -> None:
    gateway = staged.gateway
    try:
        with Gate(staged, write(tmp_path, **CHAPTERS)) as gate:
            for fault in FAULTS:
                staged.as_root(fault.machine, fault.seed.format(gateway=gateway))
            answer = gate.open()
    finally:
        for fault in FAULTS:
            staged.as_root(fault.machine, f"{fault.undo.format(gateway=gateway)} || true")

    assert answer.code == 1
    failed = {(one[0], one[1], one[2].partition(":")[0]) for one in events(answer, "failed", "")}
    assert failed == {
        (fault.machine, f"chapter {fault.chapter}", f"step {fault.step}") for fault in FAULTS
    }, answer.explain()
    for fault in FAULTS:
        (reason,) = [
            reason
            for reason in answer.verdicts[fault.machine]["reasons"]
            if reason["tried"].startswith(f"chapter {fault.chapter}, step {fault.step} (")
        ]
        assert fault.answer in reason["answer"], reason
        assert fault.todo in reason["todo"], reason
        assert f"/{fault.chapter}-" in reason["tried"]
    assert sum(len(one["reasons"]) for one in answer.verdicts.values()) == len(FAULTS)
    # What comes behind a step that failed was not run, and is no failure.
    skipped = events(answer, "skipped", "chapter 01")
    assert skipped == [(VM1, "chapter 01", "step 3: docker build --quiet fortune-clock")]


def test_a_lost_group_and_a_stopped_engine_are_found_and_only_they(
    class_: Room, tmp_path: Path
) -> None:
    guide = write(
        tmp_path,
        _01=f"{GATE}$ docker ps --quiet\n```",
        _02="```console\n$ docker ps --quiet\n```",
        _03="```console\n$ true\n```",
    )
    try:
        with Gate(class_, guide) as gate:
            class_.as_root(VM1, "gpasswd -d student docker")
            class_.as_root(VM2, "systemctl stop docker.socket docker")
            answer = gate.open()
    finally:
        class_.as_root(VM1, "gpasswd -a student docker")
        class_.as_root(VM2, "systemctl start docker")

    assert set(events(answer, "failed", "")) == {
        (VM2, "chapter 01", "step 2: docker ps --quiet"),
        (VM1, "chapter 02", "step 1: docker ps --quiet"),
    }, answer.explain()
    assert answer.states == {VM1: "not ready", VM2: "not ready", VM3: "ready"}
    assert "permission denied" in answer.reasons(VM1)
    assert "--tags attendee" in answer.reasons(VM1)
    assert "Cannot connect to the Docker daemon" in answer.reasons(VM2)
    # Other chapters go on where they can.
    assert (VM1, "chapter 03", "step 1: true") in events(answer, "ok")
    assert not [one for one in events(answer, "ok") if one[:2] == (VM2, "chapter 03")]
    again = rehearse(class_, guide=GUIDE, chapters="1")
    assert again.states == ALL_READY, again.explain()


LEAVES = f"""{GATE.replace("$ touch", "$ docker run -d --name left ubuntu sleep 999; touch mine; touch")}...
```"""


def test_ctrl_c_ends_all_and_puts_the_machines_back(class_: Room, tmp_path: Path) -> None:
    before = found(class_)
    with Gate(class_, write(tmp_path, _01=LEAVES)) as gate:
        gate.run.send(signal.SIGINT)
        answer = gate.run.finish()

    assert answer.code == 130, answer.stderr
    assert set(answer.states.values()) == {"interrupted"}
    assert not gate.run.processes()
    for machine in MACHINES:
        class_.as_root(machine, "rm -f /tmp/here")
    assert found(class_) == before


def test_what_a_killed_rehearsal_left_is_put_back_by_the_next_one(
    class_: Room, tmp_path: Path
) -> None:
    before = found(class_)[VM1]
    with Gate(class_, write(tmp_path, _01=LEAVES), [VM1]) as gate:
        gate.run.send(signal.SIGKILL)
        gate.run.finish()
    deadline = time.monotonic() + 5
    while gate.run.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not gate.run.processes()
    class_.as_root(VM1, "rm /tmp/here; docker inspect left --format {{.State.Status}}")
    answer = rehearse(class_, "--limit", VM1, chapters="2")

    assert answer.states == {VM1: "ready"}, answer.explain()
    assert "an earlier rehearsal, which was cut off, is undone: container left" in notes(
        answer, VM1
    )
    assert found(class_)[VM1] == before


def test_what_cannot_be_put_back_is_named(class_: Room, tmp_path: Path) -> None:
    class_.as_root(VM1, "docker volume create precious; docker create --name kept ubuntu:24.04")
    guide = write(
        tmp_path, _01="```console\n$ docker rm kept\nkept\n$ docker volume rm precious\n...\n```"
    )
    answer = rehearse(class_, "--limit", VM1, guide=guide)

    assert answer.states == {VM1: "not ready"}
    assert events(answer, "failed") == [
        (VM1, "chapter 01", "the machine is left as it was found")
    ], answer.explain()
    assert "container kept, removed" in answer.reasons(VM1)
    assert "volume precious, removed" in answer.reasons(VM1)


def test_a_record_is_compared_with_an_earlier_one(class_: Room, tmp_path: Path) -> None:
    (first, second) = ("```console\n$ test -e /tmp/go\n```", "```console\n$ test ! -e /tmp/go\n```")
    guide = write(tmp_path, _01=first, _02=second)
    rehearse(class_, "--limit", VM1, guide=guide)
    class_.as_root(VM1, "touch /tmp/go")
    page = tmp_path / "page.html"
    answer = rehearse(class_, "--limit", VM1, "--since", "last", "--html", str(page), guide=guide)

    said = notes(answer, VM1)
    assert "better since " in said
    assert ": chapter 01: step 1: test -e /tmp/go" in said
    assert "worse since " in said
    assert "chapter 02: step 1: test ! -e /tmp/go" in said
    assert "better than before" in page.read_text()


def test_no_password_is_seen_in_arguments_events_or_records(class_: Room, tmp_path: Path) -> None:
    passwords = {row["password"] for row in class_.logins()}
    with Gate(class_, write(tmp_path, _01=GATE + "```")) as gate:
        arguments = json.dumps(list(gate.run.processes().values()))
        answer = gate.open()

    assert answer.states == ALL_READY, answer.explain()
    assert "ssh" in arguments
    runs = class_.directory / ".labkit" / "runs"
    said = [arguments, answer.stdout, answer.stderr, *(one.read_text() for one in runs.glob("*/*"))]
    for password in passwords:
        assert not [text for text in said if password in text]
