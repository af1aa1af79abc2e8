"""What the checks decide, from what machines say; programs of ours stand in for the machine's."""

import os
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from labkit.checks import test_apps as apps
from labkit.checks import test_engine as engine
from labkit.checks import test_images as images
from labkit.checks import test_login as login
from labkit.checks import test_machine as itself
from labkit.checks import test_packages as packages
from labkit.checks import test_seat as seat
from labkit.checks import test_traces as traces
from labkit.checks.machine import Machine, Mate
from labkit.checks.promise import Unkept
from labkit.paths import content
from labkit.ssh import Connection

Says = Callable[..., None]

HERE = Connection("vm1")
DIGEST = "sha256:" + "a" * 64
UBUNTU = {"reference": "ubuntu:24.04", "tags": ["ubuntu:latest"]}


@pytest.fixture
def host() -> Host:
    """Give this machine, on which `says` puts programs before its own."""
    return testinfra.get_host("local://")


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have a program of the machine answer; its arguments are the shell's `$@`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def says(program: str, text: str, *, script: bool = False) -> None:
        (tmp_path / f"{program}.txt").write_text(text)
        line = text if script else f"exec /bin/cat {tmp_path / program}.txt"
        (folder / program).write_text(f"#!/bin/sh\n{line}\n")
        (folder / program).chmod(0o700)

    return says


def machine(*mates: Mate, **inputs: Any) -> Machine:
    return Machine("vm1", "a", 1, mates, HERE, Path("/nowhere"), inputs)


def unkept(check: Callable[..., None], *given: Any) -> Unkept:
    with pytest.raises(Unkept) as error:
        check(*given)
    return error.value


def test_a_file_that_is_missing_from_an_app_is_named(
    host: Host, says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    shutil.copytree(content() / "fortune-clock", home / "fortune-clock")
    says("getent", f"student:x:1000:1000::{home}:/bin/bash")
    monkeypatch.setattr(apps, "PRISTINE", content())
    apps.test_the_app_is_staged(host, machine(), "fortune-clock", pytest.fail)
    (home / "fortune-clock" / "Dockerfile").unlink()
    error = unkept(apps.test_the_app_is_staged, host, machine(), "fortune-clock", pytest.fail)

    assert error.seen == "no Dockerfile"


def test_a_file_that_the_attendee_changed_is_no_fault_but_told(
    host: Host, says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "PRISTINE", content())
    shutil.copytree(content() / "fortune-clock", tmp_path / "home" / "fortune-clock")
    says("getent", f"student:x:1000:1000::{tmp_path / 'home'}:/bin/bash")
    (tmp_path / "home" / "fortune-clock" / "clock.sh").write_text("echo mine\n")
    told: list[str] = []
    apps.test_the_app_is_staged(host, machine(), "fortune-clock", told.append)

    assert told == ["kept as the attendee changed them: fortune-clock/clock.sh"]


PROGRESS = """#0 building with "default" instance using docker driver

#1 [clock_Dockerfile internal] load build definition from Dockerfile
#1 DONE 0.0s

#4 [clock_Dockerfile build 1/3] FROM docker.io/library/python:3.12-slim
#4 DONE 0.0s

#5 [clock_Dockerfile build 2/3] COPY requirements.txt .
#5 CACHED

#6 [clock_Dockerfile build 3/3] RUN pip install -r requirements.txt
{third}

#7 [clock_Dockerfile stage-1 2/2] COPY --from=build /app /app
#7 CACHED

#8 [todo_Dockerfile 2/2] RUN npm ci
#8 DONE 9.0s
"""
BUILT = ("clock", "Dockerfile")


@pytest.fixture
def look() -> Callable[..., None]:
    return apps.test_the_first_build_hits_the_cache


def test_a_build_that_hits_the_cache_keeps_its_promise(
    host: Host, says: Says, look: Callable[..., None]
) -> None:
    says("docker", PROGRESS.format(third="#6 CACHED"))

    look(host.run("docker"), machine(), BUILT)


def test_a_step_that_had_to_run_is_named(host: Host, says: Says, look: Callable[..., None]) -> None:
    says("docker", PROGRESS.format(third="#6 0.52 Collecting flask\n#6 DONE 2.1s"))
    seen = host.run("docker")

    assert unkept(look, seen, machine(), BUILT).seen == (
        "these steps ran: RUN pip install -r requirements.txt"
    )
    assert unkept(look, seen, machine(), ("todo", "Dockerfile")).seen.endswith("npm ci")


def test_a_build_that_fails_is_quoted_by_its_end(
    host: Host, says: Says, look: Callable[..., None]
) -> None:
    says("docker", "echo '#1 [a 1/1] RUN x'; echo 'no space left' >&2; exit 1", script=True)

    assert unkept(look, host.run("docker"), machine(), BUILT).seen.endswith("no space left")


def test_a_builds_name_is_one_that_a_bake_allows() -> None:
    assert apps.target("fortune-clock", "Dockerfile.few-layers") == (
        "fortune-clock_Dockerfile_few-layers"
    )


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ubuntu", "ubuntu"),
        ("ubuntu:24.04", "ubuntu"),
        ("docker.io/library/ubuntu:24.04", "ubuntu"),
        ("library/ubuntu", "ubuntu"),
        ("docker.io/bitnami/nginx:1", "bitnami/nginx"),
        ("registry:2", "registry"),
        ("localhost:5000/app", "localhost:5000/app"),
        ("localhost:5000/app:1", "localhost:5000/app"),
        (f"ubuntu:24.04@{DIGEST}", f"ubuntu@{DIGEST}"),
        (f"localhost:5000/app@{DIGEST}", f"localhost:5000/app@{DIGEST}"),
    ],
)
def test_an_image_is_called_as_docker_shows_it(name: str, shown: str) -> None:
    assert images.familiar(name) == shown


INSPECT = """case "$5" in
  ubuntu:24.04) echo 'sha256:1 ["ubuntu@{digest}","mirror.example/ubuntu@{digest}"]' ;;
  ubuntu:latest) echo 'sha256:{latest} ["ubuntu@{digest}"]' ;;
  built:1) echo 'sha256:3 []' ;;
  old:1) echo 'sha256:4 null' ;;
  *) echo; echo "Error: No such image: $5" >&2; exit 1 ;;
esac"""


def seen_images(host: Host, says: Says, *names: str, latest: str = "1") -> images.Images:
    says("docker", INSPECT.format(digest=DIGEST, latest=latest), script=True)
    found = images.Images(host, names)
    found.recorded = {"ubuntu:24.04": {"digest": DIGEST}}
    return found


def test_an_image_is_known_by_its_id_and_digests(host: Host, says: Says) -> None:
    found = seen_images(host, says, "ubuntu:24.04", "built:1", "old:1", "no:1")

    both = [f"ubuntu@{DIGEST}", f"mirror.example/ubuntu@{DIGEST}"]
    assert found.digests("ubuntu:24.04") == ("sha256:1", both)
    assert found.digests("built:1") == ("sha256:3", [])
    assert found.digests("old:1") == ("sha256:4", [])
    assert found.digests("no:1") is None
    assert found.digests("never asked") is None


def test_an_images_digests_are_not_taken_for_the_names_of_files(
    host: Host, says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abu":
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    found = seen_images(host, says, "ubuntu:latest")

    assert found.digests("ubuntu:latest") == ("sha256:1", [f"ubuntu@{DIGEST}"])


@pytest.mark.parametrize(
    ("image", "recorded", "seen"),
    [
        ({"reference": "no:1"}, DIGEST, "No such image: no:1"),
        (UBUNTU, None, "a record of no image"),
        (UBUNTU, "sha256:other", f"ubuntu@{DIGEST}"),
        ({"reference": "built:1"}, DIGEST, "sha256:3, which came from no registry"),
    ],
)
def test_an_image_other_than_the_recorded_one_breaks_the_promise(
    host: Host, says: Says, image: Mapping[str, Any], recorded: str | None, seen: str
) -> None:
    found = seen_images(host, says, image["reference"])
    found.recorded = {image["reference"]: {"digest": recorded}} if recorded else {}
    check = images.test_the_image_is_there_with_the_recorded_digest

    assert seen in unkept(check, found, image, machine()).seen


@pytest.mark.parametrize("name", ["ubuntu:24.04", f"ubuntu:24.04@{DIGEST}"])
def test_an_image_with_the_recorded_digest_keeps_the_promise(
    name: str, host: Host, says: Says
) -> None:
    found = seen_images(host, says, "ubuntu:24.04")
    found.answers[name] = found.answers["ubuntu:24.04"]
    found.recorded[name] = {"digest": DIGEST}

    images.test_the_image_is_there_with_the_recorded_digest(found, {"reference": name}, machine())


def test_a_name_that_means_another_image_breaks_the_promise(host: Host, says: Says) -> None:
    names = images.names_of(UBUNTU)
    assert names == ["ubuntu:24.04", "ubuntu:latest"]
    again = seen_images(host, says, *names)
    again.answers["ubuntu:24.04"] = again.answers["ubuntu:latest"]
    images.test_the_image_has_all_its_names(again, UBUNTU, machine())

    other = seen_images(host, says, *names, latest="2")
    assert (
        "sha256:2" in unkept(images.test_the_image_has_all_its_names, other, UBUNTU, machine()).seen
    )


def installed(version: str, *, held: bool = True) -> packages.Engine:
    return packages.Engine({"docker-ce": packages.Package(version, held)}, {})


@pytest.mark.parametrize(
    ("asked", "version", "kept"),
    [
        ("28", "5:28.5.1-1~debian.13~trixie", True),
        ("28.5", "5:28.5.1-1~debian.13~trixie", True),
        ("26.1.5", "26.1.5+dfsg1-9+b4", True),
        ("28.5", "5:28.51.0-1", False),
        ("28.5", "5:28x5.0-1", False),
        ("5", "5:28.5.1-1", False),
    ],
)
def test_the_version_that_was_asked_for_is_a_beginning_in_whole_numbers(
    asked: str, version: str, *, kept: bool
) -> None:
    check = packages.test_the_engine_has_the_version_that_was_asked_for
    given = (installed(version), machine(docker_engine_version=asked))

    if kept:
        check(*given)
    else:
        assert unkept(check, *given).seen == version


def test_a_machine_without_an_engine_has_not_the_version_asked_for() -> None:
    check = packages.test_the_engine_has_the_version_that_was_asked_for
    none = packages.Engine({"docker-cli": packages.Package("28.5", held=True)}, {})

    assert "no engine" in unkept(check, none, machine(docker_engine_version=28)).seen


def test_each_package_with_another_version_than_the_classs_is_named() -> None:
    check = packages.test_the_engine_has_the_versions_chosen_for_the_class
    chosen = {"docker-ce": "28", "containerd.io": "2"}
    check(packages.Engine(installed("28").installed, {"docker-ce": "28"}), machine())
    error = unkept(check, packages.Engine(installed("27").installed, chosen), machine())

    assert error.seen == "docker-ce is 27, containerd.io is missing"


def test_a_package_that_an_upgrade_may_replace_breaks_the_promise() -> None:
    check = packages.test_no_upgrade_replaces_the_engine_during_the_class
    check(installed("28"), machine())

    assert unkept(check, installed("28", held=False), machine()).seen == "not held: docker-ce"
    assert "no package" in unkept(check, packages.Engine({}, {}), machine()).seen


@pytest.mark.parametrize(
    ("answer", "kept"),
    [("active\nenabled", True), ("active\ndisabled", False), ("inactive\nenabled", False)],
)
def test_an_engine_runs_now_and_at_every_boot(
    host: Host, says: Says, answer: str, *, kept: bool
) -> None:
    says(
        "systemctl",
        f'[ "$1" = is-active ] && echo {answer}'.replace("\n", " || echo "),
        script=True,
    )

    if kept:
        engine.test_the_engine_runs_and_starts_at_every_boot(host, machine())
    else:
        seen = unkept(engine.test_the_engine_runs_and_starts_at_every_boot, host, machine()).seen
        assert seen == answer.replace("\n", ", ")


@pytest.mark.parametrize(
    ("version", "kept"),
    [("2.40.3", True), ("v2.24.5", True), ("5.0.0", True), ("1.29.2", False), ("unknown", False)],
)
def test_compose_is_version_2_or_later(host: Host, says: Says, version: str, *, kept: bool) -> None:
    check = engine.test_compose_answers_as_version_2_or_later
    says("docker-compose", version)

    if kept:
        check(host, machine(), "docker-compose")
    else:
        assert unkept(check, host, machine(), "docker-compose").seen == version


@pytest.mark.parametrize(
    ("answer", "role"),
    [
        ("permission denied while trying to connect", "attendee"),
        ("runuser: user student does not exist", "attendee"),
        ("Cannot connect", "docker_engine"),
    ],
)
def test_an_attendee_who_is_refused_and_a_dead_engine_are_repaired_in_different_ways(
    host: Host, says: Says, answer: str, role: str
) -> None:
    says("docker", f"echo '{answer}' >&2; exit 1", script=True)
    check = engine.test_the_engine_answers_to_the_attendee_without_sudo

    assert unkept(check, host, machine()).todo.endswith(f"--tags {role}")


@pytest.mark.parametrize(
    ("account", "shadow", "seen"),
    [
        ("student:x:1:1::/home:/bin/bash", "student:$y$:1:0:9:7:::", None),
        ("student:x:1:1::/home:/bin/bash", "student:$y$:1:0:9:7::-1:", None),
        ("student:x:1:1::/home:/bin/bash", "student:$y$:1:0:9:7::20000:", "account with an end"),
        ("student:x:1:1::/home:/usr/sbin/nologin", "student:!:1:0:9:7:::", "nologin"),
    ],
)
def test_an_account_is_open_if_it_has_a_shell_and_no_end(
    host: Host, says: Says, account: str, shadow: str, seen: str | None
) -> None:
    says("getent", f"[ $1 = passwd ] && echo '{account}' || echo '{shadow}'", script=True)

    if seen is None:
        login.test_the_attendees_account_is_open(host, machine())
    else:
        assert seen in unkept(login.test_the_attendees_account_is_open, host, machine()).seen


def test_a_tool_that_is_not_installed_is_named(host: Host, says: Says) -> None:
    says("dpkg-query", "vim installed\ncurl config-files\n")
    check = itself.test_the_workshops_tools_are_there
    check(host, machine(base_packages=["vim"]))

    seen = unkept(check, host, machine(base_packages=["vim", "curl", "tmux"])).seen
    assert seen == "no curl, tmux"


@pytest.mark.parametrize(
    ("text", "kept"),
    [("LANG=C.UTF-8\n", True), ("LANG=de_CH.utf8\n", True), ("#LANG=C.UTF-8\nLANG=C\n", False)],
)
def test_text_is_utf_8_if_the_login_says_so(
    host: Host, says: Says, text: str, *, kept: bool
) -> None:
    says("cat", f"printf '{text}'", script=True)

    if kept:
        itself.test_text_is_utf_8(host, machine())
    else:
        assert "LANG=C" in unkept(itself.test_text_is_utf_8, host, machine()).seen


def test_a_machine_with_a_clock_of_its_own_needs_somebody_to_keep_it(
    host: Host, says: Says
) -> None:
    says("systemd-detect-virt", "exit 1", script=True)
    says("systemctl", "inactive\nactive\n")
    itself.test_the_clock_is_kept_right(host, machine())
    says("systemctl", "inactive\nfailed\n")

    assert unkept(itself.test_the_clock_is_kept_right, host, machine()).seen == "inactive, failed"


def test_settings_inside_of_others_are_compared_one_by_one() -> None:
    wanted = {"log-opts": {"max-size": "10m", "max-file": "3"}, "debug": False}
    seen = {"log-opts": {"max-size": "50m", "max-file": "3"}, "hosts": []}

    assert engine.lacking(wanted, {**wanted, "hosts": []}) == []
    assert engine.lacking(wanted, seen) == ["log-opts.max-size", "debug"]
    assert engine.lacking(wanted, seen, but={"log-opts": {"max-size": "50m"}}) == ["debug"]


@pytest.mark.parametrize(
    ("text", "newer", "seen"),
    [
        ('{"live-restore": false, "mtu": 1400, "x": 1}', "", None),
        ('{"live-restore": true, "mtu": 1400}', "", "none, of live-restore"),
        ("{", "", "none, of mtu, live-restore"),
        ('{"live-restore": false, "mtu": 1400}', engine.SETTINGS, "an older one"),
    ],
)
def test_an_engine_works_with_the_classs_settings(
    host: Host, says: Says, text: str, newer: str, seen: str | None
) -> None:
    says("cat", f"echo '{text}'", script=True)
    says("find", newer and f"echo {newer}", script=True)
    check = engine.test_the_engine_has_the_settings_of_the_class
    given = machine(
        docker_engine_daemon={"mtu": 1400},
        docker_engine_daemon_defaults={"live-restore": False, "mtu": 1500},
    )

    if seen is None:
        check(host, given)
    else:
        assert seen in unkept(check, host, given).seen


def test_sudo_is_as_the_class_wants_it(host: Host) -> None:
    check = login.test_the_attendee_has_sudo_only_where_the_class_says_so
    check(host, machine(attendee_sudo=False))

    assert unkept(check, host, machine(attendee_sudo=True)).seen == "none"


def test_packets_are_forwarded_if_the_kernel_and_its_settings_say_so(
    host: Host, says: Says
) -> None:
    check = seat.test_packets_are_forwarded_now_and_after_a_boot
    says("cat", "printf '1\\nnet.ipv4.ip_forward = 1\\n'", script=True)
    check(host, machine())
    for answer in ("0\\nnet.ipv4.ip_forward = 1\\n", "1\\n"):
        says("cat", f"printf '{answer}'", script=True)
        assert unkept(check, host, machine()).todo.endswith("--tags swarm_node")


def test_docker_as_a_source_is_known_to_apt(host: Host, says: Says) -> None:
    check = packages.test_apt_knows_where_the_engine_came_from
    url = "https://mirror.example/linux"
    given = machine(docker_engine_source="docker", docker_engine_repository_url=url)
    says("cat", f"URIs: {url}/debian\n")
    check(host, given)
    says("cat", "URIs: https://other.example/linux/debian\n")

    assert "other.example" in unkept(check, host, given).seen


def test_a_clock_is_right_within_seconds(host: Host, says: Says) -> None:
    itself.test_the_clock_is_right(host)
    says("date", "echo $(($(/bin/date +%s) - 60)).5", script=True)

    assert unkept(itself.test_the_clock_is_right, host).seen.startswith("one that is -")


PROOF = '{"image": "mongo:7", "id": "sha256:1", "kernel": "6.12"}'


@pytest.mark.parametrize(
    ("proof", "kernel", "seen"),
    [
        (PROOF, "6.12", None),
        (PROOF, "6.19", "a proof of sha256:1, 6.12"),
        ("", "6.12", "no proof"),
    ],
)
def test_a_database_is_proven_for_one_image_and_kernel(
    host: Host, says: Says, proof: str, kernel: str, seen: str | None
) -> None:
    says("cat", f"printf '%s' '{proof}'", script=True)
    says("docker", "sha256:1\n")
    says("uname", f"{kernel}\n")
    check = images.test_the_database_keeps_running_on_this_kernel
    given = machine(images_database="mongo:7")

    if seen is None:
        check(host, given)
    else:
        assert unkept(check, host, given).seen == seen


def test_room_is_counted_in_megabytes(host: Host, says: Says) -> None:
    says("df", " Avail\n  4096\n")
    itself.test_there_is_room_for_the_workshop(host, machine(images_reserve_mb=4096))
    check = itself.test_there_is_room_for_the_workshop

    assert unkept(check, host, machine(images_reserve_mb=4097)).seen == "4096 MB"


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("", True),
        ('tcp LISTEN 0 4096 *:2377 *:* users:(("dockerd",pid=9,fd=20))', True),
        ("udp UNCONN 0 0 0.0.0.0:4789 0.0.0.0:*", True),
        ('tcp LISTEN 0 511 *:7946 *:* users:(("nginx",pid=9,fd=6))', False),
    ],
)
def test_a_port_may_be_the_engines_or_the_kernels_and_nobody_elses(
    host: Host, says: Says, answer: str, *, kept: bool
) -> None:
    says("ss", answer)

    if kept:
        seat.test_the_swarms_ports_are_free(host, machine())
    else:
        assert "nginx" in unkept(seat.test_the_swarms_ports_are_free, host, machine()).seen


def test_a_name_that_means_another_machine_is_told_with_its_address(host: Host, says: Says) -> None:
    says(
        "getent",
        "case $2 in vm2|two) echo 192.0.2.9 STREAM ;; *) echo 192.0.2.1 ;; esac",
        script=True,
    )
    mates = [Mate("one", "192.0.2.1", 1), Mate("two", "192.0.2.2", 2)]
    seat.test_the_seats_machines_have_names(host, machine(mates[0]))

    assert unkept(seat.test_the_seats_machines_have_names, host, machine(*mates)).seen == (
        "vm2 is 192.0.2.9, not 192.0.2.2; two is 192.0.2.9, not 192.0.2.2"
    )


def test_an_open_port_and_a_refused_one_are_told_apart(host: Host) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert seat._answer(host, "127.0.0.1", port) == ""  # noqa: SLF001 - it decides the check

    assert "refused" in seat._answer(host, "127.0.0.1", port)  # noqa: SLF001


def test_a_port_that_swallows_what_comes_is_told_as_such(host: Host, says: Says) -> None:
    says("bash", "exec sleep 9", script=True)
    says("timeout", 'shift; exec /usr/bin/timeout 0.1 "$@"', script=True)

    assert seat._answer(host, "192.0.2.1", 22) == "no answer within 3 s"  # noqa: SLF001


def test_only_a_machine_that_is_on_can_be_blocked(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {
        "two": {},
        "off": dict.fromkeys((22, 2377), "No route"),
        "three": {2377: "refused", 7946: "no answer"},
    }
    monkeypatch.setattr(seat, "_answer", lambda _, mate, port: answers[mate].get(port, ""))
    mates = [Mate(name, name, number) for number, name in enumerate(("vm1", *answers), start=1)]
    check = seat.test_nothing_stands_between_the_seats_machines

    check(host, machine(*mates[:3]))
    assert unkept(check, host, machine(*mates)).seen == "three port 7946: no answer"


def test_what_the_checks_left_behind_is_named(host: Host, says: Says) -> None:
    says("docker", "")
    traces.test_the_checks_left_nothing_behind(host)
    says("docker", '[ "$1" = ps ] && echo container abc || true', script=True)

    assert unkept(traces.test_the_checks_left_nothing_behind, host).seen == "container abc"
