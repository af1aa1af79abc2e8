"""The Docker engine and its commands."""

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise

SETTINGS = "/etc/docker/daemon.json"
MIRRORS = "registry-mirrors"


def test_the_engine_runs_and_starts_at_every_boot(host: Host, machine: Machine) -> None:
    # Asked before anything else: the first docker command would start a stopped engine.
    seen = host.run("systemctl is-active docker.service; systemctl is-enabled docker.service")

    promise(
        seen.stdout.split() == ["active", "enabled"],
        expected="docker.service to be active and enabled",
        seen=", ".join((seen.stdout + seen.stderr).split("\n")).strip(", "),
        todo=f"look why with: journalctl -u docker; then {machine.repair('docker_engine')}",
    )


def lacking(
    wanted: Mapping[str, Any], seen: Mapping[str, Any], but: Mapping[str, Any] | None = None
) -> list[str]:
    """
    Return the names of settings that are not as wanted, those inside of others with a dot.

    What `but` sets, too, does not count.
    """
    found = []
    for name, value in wanted.items():
        there, other = seen.get(name), (but or {}).get(name)
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            inner = other if isinstance(other, Mapping) else None
            found += [f"{name}.{one}" for one in lacking(value, there, inner)]
        elif there != value and other is None:
            found.append(name)
    return found


def test_the_engine_has_the_settings_of_the_class(host: Host, machine: Machine) -> None:
    own = dict(machine.inputs.get("docker_engine_daemon") or {})
    depot = machine.inputs.get("preflight_depot")
    defaults = dict(machine.inputs.get("docker_engine_daemon_defaults") or {})
    if own.get("log-driver", defaults.get("log-driver")) != defaults.get("log-driver"):
        defaults.pop("log-opts", None)  # another driver has others
    seen = host.run(f"cat {SETTINGS}")
    try:
        settings = dict(json.loads(seen.stdout))
    except (ValueError, TypeError):
        settings = {}
    if own.get(MIRRORS) and depot and (settings.get(MIRRORS) or [None])[0] == depot:
        own[MIRRORS] = [depot, *(one for one in own[MIRRORS] if one != depot)]
    wrong = lacking(own, settings) + lacking(defaults, settings, but=own)
    # The engine writes its pid file when it starts; a date that is still to come says nothing.
    newer = host.run(f"find {SETTINGS} -newer /run/docker.pid ! -newermt now").stdout

    promise(
        not wrong,
        expected=f"{SETTINGS} to hold what the class wants",
        seen=f"other values, or none, of {', '.join(wrong)} {seen.stderr}",
        todo=machine.repair("docker_engine"),
    )
    promise(
        not newer,
        expected=f"an engine that started after {SETTINGS} was written",
        seen="an older one",
        todo=machine.repair("docker_engine"),
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
