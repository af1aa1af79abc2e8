"""What the attendee may count on, on a machine that all roles have gone over."""

import json

from testinfra.host import Host


def as_attendee(host: Host, command: str) -> str:
    """Run a command in a login shell of the attendee's; it must succeed."""
    with host.sudo("student"):
        return host.check_output("bash -lc %s", command)


def test_the_attendee_needs_no_sudo_for_docker(host: Host) -> None:
    assert as_attendee(host, "docker version --format '{{.Server.Version}}'")


def test_the_attendee_is_not_root(host: Host) -> None:
    with host.sudo("student"):
        assert host.run("sudo -n true").failed


def test_the_engine_comes_back_after_a_reboot(host: Host) -> None:
    assert host.service("docker").is_running
    assert host.service("docker").is_enabled


def test_compose_answers_to_both_its_names(host: Host) -> None:
    new = as_attendee(host, "docker compose version --short")
    old = as_attendee(host, "docker-compose version --short")

    assert new == old
    assert new.lstrip("v").startswith(("2.", "5."))


def test_hello_world_needs_no_download(host: Host) -> None:
    said = as_attendee(host, "docker run --rm --pull=never hello-world")

    assert "Hello" in said


def test_ubuntu_is_the_same_bytes_under_both_its_names(host: Host) -> None:
    listed = as_attendee(host, "docker image inspect --format '{{.Id}}' ubuntu ubuntu:24.04")

    assert len(set(listed.split())) == 1


def test_the_first_build_of_the_app_hits_the_cache(host: Host) -> None:
    built = as_attendee(
        host, "cd ~/fortune-clock && docker build --progress=plain -t mine . 2>&1; docker rmi mine"
    )

    assert "CACHED" in built or "Using cache" in built


def test_the_app_belongs_to_the_attendee(host: Host) -> None:
    assert as_attendee(host, "stat --format '%U %A' ~/fortune-clock/clock.sh").startswith(
        "student -rwx"
    )


def test_logs_cannot_fill_the_disk(host: Host) -> None:
    with host.sudo():
        settings = json.loads(host.file("/etc/docker/daemon.json").content_string)

    assert settings["log-opts"]["max-size"]


def test_the_engine_is_not_upgraded_under_the_class(host: Host) -> None:
    assert "docker" in host.check_output("apt-mark showhold")


def test_the_machine_is_known_by_its_name(host: Host) -> None:
    assert host.check_output("hostname") == "seat01-vm1"
    assert host.check_output("getent hosts vm1").split()[1:]


def test_nothing_of_the_provisioning_is_left_running(host: Host) -> None:
    assert as_attendee(host, "docker ps --all --quiet") == ""
