"""From bare machines to a verdict, on real machines. The tests stand in the order of a morning."""

import json
import shlex
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import MACHINES, Answer, Room

pytestmark = pytest.mark.machines

ANSIBLE = Path(sys.executable).parent / "ansible"
ALL_READY = dict.fromkeys(MACHINES, "ready")


def test_bare_machines_hold_no_docker(bare: Room) -> None:
    assert (bare.directory / "class.ini").exists()
    for machine in MACHINES:
        reach = subprocess.run(
            [ANSIBLE, "-i", bare.inventory, machine, "-m", "command", "-a", "which docker"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        assert "rc=1" in reach.stdout, reach.stdout + reach.stderr


def test_a_dry_run_goes_through_on_bare_machines_and_touches_nothing(bare: Room) -> None:
    answer = bare.labkit("provision", "--check")

    assert answer.code == 0, answer.explain()
    assert answer.states == dict.fromkeys(MACHINES, "dry run")
    assert not (bare.directory / "logins.csv").exists()


def test_three_bare_machines_become_ready(cold: Answer) -> None:
    assert cold.code == 0, cold.explain()
    assert cold.states == ALL_READY


def test_a_key_that_is_known_beforehand_is_no_first_contact(cold: Answer) -> None:
    assert not [
        note for one in cold.verdicts.values() for note in one["notes"] if "first contact" in note
    ]


def test_the_passwords_stand_in_one_place_only(room: Room) -> None:
    logins = room.directory / "logins.csv"
    assert stat.S_IMODE(logins.stat().st_mode) == 0o600
    assert stat.S_IMODE((room.directory / ".labkit").stat().st_mode) == 0o700
    passwords = {row["password"] for row in room.logins()}
    assert len(passwords) == 1
    (password,) = passwords
    for file in room.directory.rglob("*"):
        if file.is_file() and file != logins:
            assert password not in file.read_text(errors="replace"), file


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("docker run --rm hello-world", "Hello from Docker!"),
        ("docker run --rm ubuntu:24.04 echo fine", "fine"),
        ("docker run --rm ubuntu echo fine", "fine"),
        ("docker compose version", "ompose version"),
        ("docker-compose version", "ompose version"),
        ("docker buildx version", "buildx"),
        (
            "docker build -q -t mine fortune-clock && docker run --rm mine true && docker rmi -f mine",
            "sha256:",
        ),
        ("id -nG", "docker"),
        ("getent hosts vm2", "seat01-vm2"),
        ("hostname", "seat01-vm1"),
        ("locale charmap", "UTF-8"),
        ("sudo -n true || echo no sudo here", "no sudo here"),
    ],
)
def test_the_attendee_can(room: Room, line: str, expected: str) -> None:
    done = room.as_attendee("seat01-vm1", line)

    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_the_neighbours_answer_by_their_names(room: Room) -> None:
    done = room.as_attendee(
        "seat01-vm1",
        'for peer in vm2 vm3 seat01-vm2; do timeout 5 bash -c "exec 3<>/dev/tcp/$peer/22; head -c 4 <&3"; done',
    )

    assert done.stdout.count("SSH-") == 3, done.stderr


def test_plain_ansible_works_on_the_class_from_anywhere(room: Room, tmp_path: Path) -> None:
    for folder in (tmp_path, Path(__file__).parents[2]):
        done = subprocess.run(
            [
                ANSIBLE,
                *shlex.split(
                    f"-i {room.inventory} machines -b --become-user student -m shell -a id"
                ),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("(student)") >= 3
        assert done.stdout.count("(docker)") == 3


def test_a_second_run_of_all_roles_changes_nothing(room: Room) -> None:
    before = room.logins()
    answer = room.labkit("provision", "--full")

    assert answer.code == 0, answer.explain()
    changed = [
        (e["machine"], e["step"])
        for e in answer.lines
        if e["type"] == "event" and e["kind"] == "changed"
    ]
    assert changed == []
    assert room.logins() == before


def parts(answer: Answer, machine: str) -> set[str]:
    """Return which roles were at work on a machine; "checks" is where it was only looked at."""
    events = [one for one in answer.lines if one["type"] == "event" and one["machine"] == machine]
    return {one["part"] for one in events if one["kind"] != "note"}


def test_where_every_promise_is_kept_no_role_runs(room: Room) -> None:
    answer = room.labkit("provision")

    assert answer.states == ALL_READY, answer.explain()
    assert all(parts(answer, name) == {"checks"} for name in MACHINES)


def test_roles_run_where_an_input_changed_whatever_the_checks_say(room: Room) -> None:
    answer = room.labkit("provision", "--limit", "seat01-vm1", "-e", "images_patience=61")

    assert answer.states == {"seat01-vm1": "ready"}, answer.explain()
    assert "images" in parts(answer, "seat01-vm1")
    assert "images" in parts(room.labkit("provision", "--limit", "seat01-vm1"), "seat01-vm1")


# What each line does to a machine, and the promise that it breaks.
DRIFT = {
    "seat01-vm1": {
        "apt-get -q -y remove tmux": "the workshops tools are there",
        "rm /etc/sysctl.d/90-labkit.conf": "packets are forwarded now and after a boot",
        "rm /etc/apt/apt.conf.d/99labkit-no-upgrades": "nothing upgrades itself during the class",
        "rm /home/student/registry/registry.key": "the seats registry has a good certificate",
    },
    "seat01-vm2": {
        "echo LANG=C > /etc/default/locale": "text is utf 8",
        "hostname other": "the machine has its name",
        "touch /etc/docker/daemon.json": "the engine has the settings of the class",
        "touch /etc/sudoers.d/labkit-attendee": "the attendee has sudo only where the class says so",
        "rm -r /etc/docker/certs.d/vm1*": "the engine trusts the seats registry",
    },
    "seat01-vm3": {
        "gpasswd -d student docker": "the engine answers to the attendee without sudo",
        "systemctl disable docker.service": "the engine runs and starts at every boot",
        "sed -i /vm2/d /etc/hosts": "the seats machines have names",
        "docker builder prune --all --force": "the first build hits the cache",
        "rm /etc/labkit/swarm.json": "the swarms address is clear",
    },
}


def test_what_drifted_is_named_and_repaired(room: Room) -> None:
    for machine, done in DRIFT.items():
        for line in done:
            room.as_root(machine, line)

    answer = room.labkit("provision")

    assert answer.states == ALL_READY, answer.explain()
    for machine, done in DRIFT.items():
        notes = " ".join(answer.verdicts[machine]["notes"])
        assert not [promise for promise in done.values() if promise not in notes], notes
    assert parts(room.labkit("provision"), "seat01-vm1") == {"checks"}


def test_verify_tells_every_promise_and_leaves_nothing_behind(room: Room, tmp_path: Path) -> None:
    junit = tmp_path / "junit.xml"
    answer = room.labkit("verify", "--junit", str(junit))

    assert answer.code == 0, answer.explain()
    assert answer.states == ALL_READY
    suites = ET.parse(junit).getroot().findall(".//testsuite")
    assert {suite.get("name") for suite in suites} == set(MACHINES)
    assert min(int(suite.get("tests", 0)) for suite in suites) >= 10
    for machine in MACHINES:
        assert not room.as_root(machine, "docker ps -aq --filter label=labkit.check")
        assert not room.as_root(machine, "docker image ls -q --filter label=labkit.check")


def test_a_container_and_a_volume_survive_a_run(room: Room) -> None:
    started = room.as_attendee(
        "seat01-vm1",
        'docker run -d --name mine -v kept:/data ubuntu:24.04 sh -c "echo precious > /data/file; sleep 3600"',
    )
    assert started.returncode == 0, started.stderr
    born = room.as_root("seat01-vm1", "docker inspect -f {{.State.StartedAt}} mine")

    answer = room.labkit("provision", "--full", "--limit", "seat01-vm1")

    assert answer.code == 0, answer.explain()
    assert room.as_root("seat01-vm1", "docker inspect -f {{.State.StartedAt}} mine") == born
    assert "precious" in room.as_root("seat01-vm1", "docker exec mine cat /data/file")
    room.as_root("seat01-vm1", "docker rm -f mine && docker volume rm kept")


def test_what_is_broken_is_named_and_then_repaired(room: Room) -> None:
    engine = room.as_root("seat01-vm1", "apt-mark showhold | grep -m1 docker").strip()
    room.as_root("seat01-vm1", f"apt-mark unhold {engine}")
    room.as_root("seat01-vm2", "systemctl stop docker.socket docker.service")
    room.as_root("seat01-vm3", "docker rmi -f hello-world")
    room.as_root("seat01-vm3", "rm /home/student/fortune-clock/clock.sh")

    seen = room.labkit("verify")

    assert seen.code == 1
    assert engine in seen.reasons("seat01-vm1")
    assert "docker" in seen.reasons("seat01-vm2")
    assert "hello-world" in seen.reasons("seat01-vm3")
    assert "clock.sh" in seen.reasons("seat01-vm3")
    for machine in MACHINES:
        for reason in seen.verdicts[machine]["reasons"]:
            assert reason["todo"], f"{machine}: {reason} does not say what to do"

    repaired = room.labkit("provision")

    assert repaired.code == 0, repaired.explain()
    assert repaired.states == ALL_READY


def test_an_edited_file_survives_and_is_named(room: Room) -> None:
    room.as_attendee(
        "seat01-vm2", "echo '# mine' >> fortune-clock/clock.sh; echo note > fortune-clock/notes.txt"
    )

    answer = room.labkit("provision", "--limit", "seat01-vm2")

    assert answer.code == 0, answer.explain()
    assert "# mine" in room.as_attendee("seat01-vm2", "tail -1 fortune-clock/clock.sh").stdout
    assert "note" in room.as_attendee("seat01-vm2", "cat fortune-clock/notes.txt").stdout
    assert "clock.sh" in json.dumps(answer.verdicts["seat01-vm2"]["notes"])
    room.as_attendee("seat01-vm2", "rm fortune-clock/clock.sh fortune-clock/notes.txt")
    assert room.labkit("provision", "--limit", "seat01-vm2").code == 0


def test_one_dead_machine_does_not_hold_up_the_class(room: Room) -> None:
    undisturbed = room.labkit("provision", "--full")
    with room.stopped("seat01-vm2"):
        answer = room.labkit("provision", "--full")

    assert answer.code == 1
    assert answer.states == {**ALL_READY, "seat01-vm2": "unreachable"}
    assert answer.verdicts["seat01-vm2"]["reasons"][0]["answer"]
    assert answer.verdicts["seat01-vm2"]["reasons"][0]["todo"]
    connect_timeout = 10
    others = [answer.verdicts[name] for name in ("seat01-vm1", "seat01-vm3")]
    assert (
        max(one["ended"] - one["started"] for one in others) < undisturbed.seconds + connect_timeout
    )

    again = room.labkit("provision", "--retry-failed")

    assert again.code == 0, again.explain()
    assert again.states == {"seat01-vm2": "ready"}
    assert {line["machine"] for line in again.lines} == {"seat01-vm2"}


def test_a_frozen_machine_is_called_unreachable_and_holds_up_nobody(room: Room) -> None:
    with room.frozen("seat01-vm3"):
        answer = room.labkit("verify")

    assert answer.code == 1
    assert answer.states == {**ALL_READY, "seat01-vm3": "unreachable"}
    frozen = answer.verdicts["seat01-vm3"]
    assert frozen["ended"] - (frozen["started"] or frozen["ended"]) < 30


def test_a_changed_host_key_is_refused_until_the_old_one_is_forgotten(room: Room) -> None:
    known = room.directory / "known_hosts"
    room.as_root("seat01-vm1", "rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")

    refused = room.labkit("provision", "--limit", "seat01-vm1")

    assert refused.states == {"seat01-vm1": "unreachable"}
    reason = refused.verdicts["seat01-vm1"]["reasons"][0]
    assert reason["answer"].count("SHA256:") == 2
    command = reason["todo"].split(": ", 1)[1]
    assert "ssh-keygen -R" in command
    subprocess.run(shlex.split(command), check=True, capture_output=True)

    accepted = room.labkit("provision", "--limit", "seat01-vm1")

    assert accepted.code == 0, accepted.explain()
    assert "SHA256:" in json.dumps(accepted.verdicts["seat01-vm1"]["notes"])
    assert room.address("seat01-vm1") in known.read_text()


def test_a_missing_routing_mesh_is_named_where_it_is_asked_for(room: Room) -> None:
    forced = room.directory / "group_vars" / "machines" / "swarm_node.yml"
    if not forced.exists() or "mesh: false" not in forced.read_text():
        pytest.skip("this kernel has IPVS: nothing is missing here")
    usual = room.labkit("verify", "--limit", "seat01-vm1")
    assert "no routing mesh on these machines" in json.dumps(usual.verdicts["seat01-vm1"]["notes"])

    asked = room.labkit("verify", "--limit", "seat01-vm1", "-e", "swarm_node_mesh=true")

    assert asked.states == {"seat01-vm1": "not ready"}
    assert "IPVS" in asked.reasons("seat01-vm1")


def test_without_checks_no_machine_is_called_ready(room: Room) -> None:
    answer = room.labkit("provision", "--no-verify", "--tags", "attendee")

    assert answer.code == 0, answer.explain()
    assert answer.states == dict.fromkeys(MACHINES, "provisioned")
