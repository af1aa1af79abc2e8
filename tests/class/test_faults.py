"""What goes wrong during a run: the others go on, the reason is told, the next run converges."""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml
from conftest import MACHINES, Room, Running, docker, labkit
from faulty_registry import LIMIT, faulty_registry

pytestmark = pytest.mark.machines

VM1, VM2, VM3 = MACHINES
ALL_READY = dict.fromkeys(MACHINES, "ready")
SECONDS_TO_STOP = 5


@pytest.fixture
def class_(room: Room) -> Iterator[Room]:
    """A class that the next test finds ready again, whatever this one did to it."""
    yield room
    for machine in MACHINES:
        docker("start", room.container(machine))
        room.wait_until_up(machine)


def test_a_killed_and_a_frozen_machine_leave_the_third_alone(class_: Room) -> None:
    run = class_.running("provision", "--full")
    run.await_event(VM1, "base")
    docker("kill", class_.container(VM1))
    with class_.frozen(VM2):
        time.sleep(8)
    answer = run.finish()

    assert answer.code == 1
    assert answer.states == {**ALL_READY, VM1: "unreachable"}, answer.explain()
    assert answer.verdicts[VM1]["reasons"][0]["todo"]
    docker("start", class_.container(VM1))
    class_.wait_until_up(VM1)
    again = class_.labkit("provision", "--retry-failed")
    assert again.states == {VM1: "ready"}, again.explain()


def test_a_machine_off_the_network_is_unreachable_until_it_is_back(class_: Room) -> None:
    container = class_.container(VM3)
    (network,) = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
    address = class_.address(VM3)
    run = class_.running("provision", "--full")
    run.await_event(VM3, "base")
    docker("network", "disconnect", network, container)
    answer = run.finish()
    docker("network", "connect", "--ip", address, network, container)

    assert answer.states == {**ALL_READY, VM3: "unreachable"}, answer.explain()
    class_.wait_until_up(VM3)
    again = class_.labkit("provision", "--retry-failed")
    assert again.states == {VM3: "ready"}, again.explain()


def gone(run: Running) -> bool:
    """Tell whether all that a run started ends in time."""
    deadline = time.monotonic() + SECONDS_TO_STOP
    while run.processes():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize(
    ("signals", "code"),
    [([signal.SIGINT], 130), ([signal.SIGINT] * 2, 130), ([signal.SIGTERM], 130)],
    ids=["ctrl-c", "ctrl-c twice", "sigterm"],
)
@pytest.mark.parametrize("verb", ["provision", "verify"])
def test_a_run_that_is_stopped_says_how_to_go_on(
    class_: Room, verb: str, signals: list[signal.Signals], code: int
) -> None:
    run = class_.running(verb, *(["--full"] if verb == "provision" else []))
    run.await_event(VM1, "base" if verb == "provision" else "checks")
    asked = time.monotonic()
    for number in signals:
        run.send(number)
        time.sleep(0.3)
    answer = run.finish()

    assert answer.code == code, answer.stderr
    assert time.monotonic() - asked < SECONDS_TO_STOP
    assert gone(run), run.processes()
    if len(signals) == 1:
        assert f"labkit {verb} -i {class_.inventory} --retry-failed" in answer.stderr
        assert "interrupted" in answer.states.values()


def test_a_killed_labkit_leaves_nothing_that_the_next_run_minds(class_: Room) -> None:
    run = class_.running("provision", "--full")
    run.await_event(VM1, "docker_engine")
    run.send(signal.SIGKILL)
    run.finish()

    assert gone(run), run.processes()
    again = class_.labkit("provision")
    assert again.states == ALL_READY, again.explain()


HOLD = (
    'import fcntl, time; f = open("/var/lib/dpkg/lock-frontend", "w");'
    " fcntl.lockf(f, fcntl.LOCK_EX); time.sleep({seconds})"
)


def hold_apt(room: Room, machine: str, seconds: int) -> None:
    """Keep apt's lock as an automatic upgrade does."""
    room.as_root(machine, "apt-get -q -y remove tmux")
    program = HOLD.format(seconds=seconds).replace('"', '\\"')
    room.as_root(machine, f'systemd-run -q --unit holder python3 -c "{program}"')


def test_another_apt_is_waited_for_and_named(class_: Room) -> None:
    hold_apt(class_, VM1, 3600)
    hold_apt(class_, VM2, 3600)
    host_vars = class_.directory / "host_vars" / f"{VM2}.yml"
    host_vars.parent.mkdir(exist_ok=True)
    host_vars.write_text("base_apt_lock_seconds: 10\n")
    # An upgrade that was cut off: files unpacked, not set up, and dpkg's own journal left over.
    class_.as_root(
        VM3,
        "cd /tmp && apt-get -q -y remove tmux && apt-get -q download tmux && "
        "dpkg --unpack tmux_*.deb && rm tmux_*.deb && touch /var/lib/dpkg/updates/0001",
    )

    run = class_.running("provision")
    run.await_event(VM1, kind="retry")
    class_.as_root(VM1, "systemctl stop holder")
    answer = run.finish()

    host_vars.unlink()
    class_.as_root(VM2, "systemctl stop holder")
    assert answer.states == {**ALL_READY, VM2: "not ready"}, answer.explain()
    assert "python3 (process " in answer.reasons(VM2)
    assert "holds /var/lib/dpkg/lock-frontend" in answer.reasons(VM2)
    waits = [e for e in answer.lines if e.get("kind") == "retry" and e["machine"] == VM1]
    assert "waited for apt: python3 (process" in json.dumps(waits)
    again = class_.labkit("provision", "--retry-failed")
    assert again.states == {VM2: "ready"}, again.explain()


def test_what_is_wrong_on_a_machine_is_named_and_kept(class_: Room) -> None:
    class_.as_root(VM1, "cp /etc/docker/daemon.json /root/ && echo {oops > /etc/docker/daemon.json")
    class_.as_root(
        VM2, "echo DenyUsers student > /etc/ssh/sshd_config.d/00-mine.conf && systemctl reload ssh"
    )
    class_.as_root(
        VM3,
        "systemctl stop docker docker.socket && mount -t tmpfs -o size=300m none /var/lib/docker && systemctl start docker",
    )

    answer = class_.labkit("provision")

    kept = class_.as_root(VM1, "cat /etc/docker/daemon.json")
    class_.as_root(VM1, "mv /root/daemon.json /etc/docker/daemon.json")
    class_.as_root(VM2, "rm /etc/ssh/sshd_config.d/00-mine.conf && systemctl reload ssh")
    class_.as_root(
        VM3,
        "systemctl stop docker docker.socket && umount /var/lib/docker && systemctl start docker",
    )
    assert answer.states == dict.fromkeys(MACHINES, "not ready"), answer.explain()
    assert kept == "{oops\n"
    assert "/etc/docker/daemon.json" in answer.reasons(VM1)
    assert "student" in answer.reasons(VM2)
    assert "/var/lib/docker" in answer.reasons(VM3)
    for machine in MACHINES:
        assert all(reason["todo"] for reason in answer.verdicts[machine]["reasons"])
    again = class_.labkit("provision", "--retry-failed")
    assert again.states == ALL_READY, again.explain()


# Found before the engine's own; it answers in the file that the engine names, as runc does.
RUNC = Path("/usr/local/sbin/runc")
LOSING = """#!/bin/sh
case " $* " in
*" create "*) {when} && {{ echo '{{"level": "error", "msg": "read init-p: connection reset by peer"}}' >"$4"; exit 1; }} ;;
esac
exec /usr/bin/runc "$@"
"""


@pytest.mark.parametrize(
    ("when", "state"), [("mkdir /run/lost 2>/dev/null", "ready"), ("true", "not ready")]
)
def test_a_container_that_does_not_start_is_told_and_tried_once_more(
    class_: Room, when: str, state: str
) -> None:
    program = base64.b64encode(LOSING.format(when=when).encode()).decode()
    class_.as_root(VM1, f"echo {program} | base64 -d > {RUNC} && chmod 755 {RUNC}")

    answer = class_.labkit("provision", "--full", "--limit", VM1)

    class_.as_root(VM1, f"rm -rf {RUNC} /run/lost")
    assert answer.states == {VM1: state}, answer.explain()
    told = answer.verdicts[VM1]["notes" if state == "ready" else "reasons"]
    assert "connection reset by peer" in json.dumps(told)
    again = class_.labkit("provision", "--limit", VM1)
    assert again.states == {VM1: "ready"}, again.explain()


@pytest.fixture
def logins(class_: Room) -> Iterator[None]:
    """Give a machine two logins: `plain` may not use sudo, `wheel` has to give a password."""
    for name in ("plain", "wheel"):
        home = f"/home/{name}/.ssh"
        class_.as_root(
            VM1,
            f"useradd --create-home {name} && install -d -o {name} {home} && "
            f"install -o {name} ~instructor/.ssh/authorized_keys {home}/authorized_keys",
        )
    class_.as_root(
        VM1, 'echo wheel:r1ght | chpasswd && echo "wheel ALL=(ALL) ALL" > /etc/sudoers.d/wheel'
    )
    yield
    class_.as_root(VM1, "rm /etc/sudoers.d/wheel; userdel -r plain; userdel -r wheel")


@pytest.mark.usefixtures("logins")
@pytest.mark.parametrize("verb", ["provision", "verify"])
@pytest.mark.parametrize("given", [("plain", ""), ("wheel", ""), ("wheel", "wr0ng")])
def test_a_login_that_may_not_become_root_is_told_as_such(
    class_: Room, tmp_path: Path, verb: str, given: tuple[str, str]
) -> None:
    user, password = given
    secret = {"ansible_become_password": password} if password else {}
    (file := tmp_path / "vars.json").write_text(json.dumps({"ansible_user": user, **secret}))

    answer = class_.labkit(verb, "--limit", VM1, "-e", f"@{file}")

    assert answer.states == {VM1: "not ready"}, answer.explain()
    [reason] = answer.verdicts[VM1]["reasons"]
    assert "sudo" in reason["todo"]
    assert "-K" in reason["todo"]
    assert "wr0ng" not in answer.stdout + answer.stderr


def daemon_settings(room: Room) -> dict:
    """Return what this box makes the sandbox say of daemon.json."""
    inputs = room.directory / "group_vars" / "machines" / "docker_engine.yml"
    forced = yaml.safe_load(inputs.read_text()) if inputs.exists() else {}
    return forced.get("docker_engine_daemon", {})


def test_a_registrys_own_answer_is_told(class_: Room) -> None:
    failing = ["limited", "broken", "silent", "cut"]
    with faulty_registry(class_.gateway) as registry:
        wanted = {
            # By name, not as a mirror: after that the engine would go on to Docker Hub.
            "docker_engine_daemon": {
                **daemon_settings(class_),
                "insecure-registries": [registry],
                "max-download-attempts": 2,
            },
            "images_pull": [
                {"reference": f"{registry}/{name}/app:1", "disk_mb": 1} for name in failing
            ],
            "images_patience": 5,
        }
        answer = class_.labkit(
            "provision",
            *("--limit", VM1, "--tags", "docker_engine,images", "-e", json.dumps(wanted)),
        )

    assert answer.states == {VM1: "not ready"}, answer.explain()
    told = answer.reasons(VM1)
    for name in failing:
        assert f"/{name}/app:1: " in told
    assert LIMIT in told
    assert "500 Internal Server Error" in told
    assert "silent for 5 s" in told
    assert re.search("/cut/app:1: .*(unexpected EOF|short read|size)", told), told
    again = class_.labkit("provision")
    assert again.states == ALL_READY, again.explain()


@pytest.fixture
def small_disk(class_: Room, tmp_path: Path) -> Iterator[Path]:
    """The class's folder on a disk of the controller that is nearly full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", disk], check=True)
    try:
        shutil.copytree(class_.directory, disk / "class", ignore=shutil.ignore_patterns(".labkit"))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a small disk")
@pytest.mark.parametrize("left", [0, 12_000])
def test_a_full_disk_of_the_controller_ends_the_run_with_a_word(
    small_disk: Path, left: int
) -> None:
    filler = small_disk / "filler"
    free = shutil.disk_usage(small_disk).free
    filler.write_bytes(bytes(free - left))
    logins = (small_disk / "class/logins.csv").read_text()

    run = Running("provision", "-i", str(small_disk / "class/class.ini"), "--json")
    answer = run.finish()

    assert answer.code == 3, answer.stderr
    assert "No space left on device" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert gone(run), run.processes()
    assert (small_disk / "class/logins.csv").read_text() == logins
    filler.unlink()
    again = labkit("provision", "-i", str(small_disk / "class/class.ini"), "--json")
    assert again.states == ALL_READY, again.explain()


def test_no_secret_is_seen_outside_the_files_it_was_written_into(
    class_: Room, tmp_path: Path
) -> None:
    """A vault's secret, its password, the attendee's, and keys, in argv, events, records, logs."""
    secrets = {row["password"] for row in class_.logins()} | {"v4ult-w0rd", "t0ken-in-vault"}
    (tmp_path / "vault").write_text("v4ult-w0rd\n")
    settings = {**daemon_settings(class_), "labels": ["token=t0ken-in-vault"]}
    vaulted = tmp_path / "vaulted.yml"
    vaulted.write_text(yaml.safe_dump({"docker_engine_daemon": settings}))
    vault = ("--vault-password-file", str(tmp_path / "vault"))
    ansible_vault = Path(sys.executable).parent / "ansible-vault"
    subprocess.run([ansible_vault, "encrypt", *vault, vaulted], check=True, capture_output=True)
    # So that it is made anew, and has to travel.
    class_.as_root(VM1, "rm /home/student/registry/registry.key")
    seen: set[str] = set()
    with watched_arguments(seen):
        for verb in ("provision", "verify"):
            answer = class_.labkit(verb, *vault, "-vv", "--limit", VM1, "-e", f"@{vaulted}")
            assert answer.states == {VM1: "ready"}, answer.explain()
            seen.add(answer.stdout + answer.stderr)
    assert any("labkit.resolve" in text for text in seen), "nobody watched"
    assert "t0ken-in-vault" in class_.as_root(VM1, "cat /etc/docker/daemon.json")
    seen.update(class_.as_root(VM1, "journalctl -b").splitlines())
    for one in class_.directory.rglob("*"):
        if one.is_file() and one.name not in {"logins.csv", "registry-ca.key"}:
            seen.add(one.read_text(errors="replace"))
    authority = (class_.directory / "registry-ca.key").read_text()
    for key in (authority, class_.as_root(VM1, "cat /home/student/registry/registry.key")):
        secrets.update(key.splitlines()[1:-1])
    for secret in secrets:
        assert not [text for text in seen if secret in text], secret
    class_.labkit("provision", "--limit", VM1)


@contextmanager
def watched_arguments(seen: set[str]) -> Iterator[None]:
    """Note the command line of every process that shows up on this box, machines included."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    seen.add(process.read_bytes().decode(errors="replace"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        stop.set()
        watching.join()
