"""The Docker engine and its commands."""

import re

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise


def test_the_engine_runs_and_starts_at_every_boot(host: Host, machine: Machine) -> None:
    # Asked before anything else: the first docker command would start a stopped engine.
    seen = host.run("systemctl is-active docker.service; systemctl is-enabled docker.service")

    promise(
        seen.stdout.split() == ["active", "enabled"],
        expected="docker.service to be active and enabled",
        seen=", ".join((seen.stdout + seen.stderr).split("\n")).strip(", "),
        todo=f"look why with: journalctl -u docker; then {machine.repair('docker_engine')}",
    )


def test_the_engine_answers_to_the_attendee_without_sudo(attendee: Host, machine: Machine) -> None:
    seen = attendee.run("docker version --format '{{.Server.Version}}'")

    refused = "permission denied" in seen.stderr or "does not exist" in seen.stderr
    promise(
        seen.succeeded,
        expected=f"docker version to answer {machine.attendee}",
        seen=seen.stderr or seen.stdout,
        todo=machine.repair("attendee" if refused else "docker_engine"),
    )


@pytest.mark.parametrize("compose", ["docker compose", "docker-compose"])
def test_compose_answers_as_version_2_or_later(
    attendee: Host, machine: Machine, compose: str
) -> None:
    seen = attendee.run(f"{compose} version --short")

    major = re.match(r"v?(\d+)\.", seen.stdout)
    promise(
        seen.succeeded and major and int(major[1]) >= 2,
        expected=f"{compose} version to say 2 or later",
        seen=seen.stderr or seen.stdout,
        todo=machine.repair("docker_engine"),
    )


def test_hello_world_runs(attendee: Host, machine: Machine) -> None:
    images = machine.inputs.get("images_pull") or []
    names = {name for image in images for name in (image["reference"], *(image.get("tags") or ()))}
    if "hello-world" not in {name.partition(":")[0] for name in names}:
        pytest.skip("hello-world is not among the class's images")

    seen = attendee.run("docker run --rm --pull=never --label labkit.check hello-world")

    absent = "No such image" in seen.stderr
    promise(
        seen.succeeded and "Hello from Docker!" in seen.stdout,
        expected="docker run hello-world to greet with: Hello from Docker!",
        seen=seen.stderr or seen.stdout,
        todo=machine.repair("images" if absent else "docker_engine"),
    )
