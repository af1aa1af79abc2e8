"""The packages of the engine, as the class has chosen them."""

import re
from collections.abc import Mapping
from typing import NamedTuple

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise

# Both sources' names; a machine has those of one.
ENGINE = ("docker.io", "docker-ce")
PARTS = (
    *ENGINE,
    *("docker-cli", "docker-ce-cli"),
    *("containerd", "containerd.io"),
    *("docker-buildx", "docker-buildx-plugin"),
    *("docker-compose", "docker-compose-v2", "docker-compose-plugin"),
)
FORMAT = "${Package} ${db:Status-Status} ${db:Status-Want} ${Version}\\n"
ASK = f"dpkg-query --show --showformat '{FORMAT}' "


class Package(NamedTuple):
    """An installed package."""

    version: str
    held: bool


class Engine(NamedTuple):
    """What of the engine is installed, and which versions the class has chosen."""

    installed: Mapping[str, Package]
    chosen: Mapping[str, str]


@pytest.fixture(scope="module")
def engine(host: Host, machine: Machine) -> Engine:
    system = host.run(". /etc/os-release; echo $ID-$VERSION_ID").stdout.strip()
    key = f"{system}-{machine.inputs.get('docker_engine_source')}"
    locks = machine.inputs.get("docker_engine_locked_versions") or {}
    chosen = machine.locked_versions or locks.get(key) or {}
    lines = host.run(ASK + " ".join({*PARTS, *chosen})).stdout.splitlines()
    fields = [line.split() for line in lines]
    installed = {
        name: Package(version[0], held=want == "hold")
        for name, status, want, *version in fields
        if status == "installed"
    }
    return Engine(installed, chosen)


def test_the_engine_has_the_versions_chosen_for_the_class(engine: Engine, machine: Machine) -> None:
    if not engine.chosen:
        pytest.skip("no versions are chosen for this class yet")

    other = [
        f"{name} is {engine.installed[name].version if name in engine.installed else 'missing'}"
        for name, version in engine.chosen.items()
        if name not in engine.installed or engine.installed[name].version != version
    ]
    promise(
        not other,
        expected=", ".join(f"{name} {version}" for name, version in engine.chosen.items()),
        seen=", ".join(other),
        todo=machine.repair("docker_engine"),
    )


def test_the_engine_has_the_version_that_was_asked_for(engine: Engine, machine: Machine) -> None:
    asked = str(machine.inputs.get("docker_engine_version") or "")
    if not asked:
        pytest.skip("no version of the engine is asked for")

    found = [engine.installed[name].version for name in ENGINE if name in engine.installed]
    # An epoch may stand before the version: 5:28.5.1-1~debian.
    plain = [version.rpartition(":")[2] for version in found]
    promise(
        plain and re.match(rf"{re.escape(asked)}(?![0-9])", plain[0]),
        expected=f"an engine of version {asked}",
        seen=", ".join(found) or "no engine's package",
        todo=machine.repair("docker_engine"),
    )


def test_no_upgrade_replaces_the_engine_during_the_class(engine: Engine, machine: Machine) -> None:
    loose = [name for name, package in engine.installed.items() if not package.held]

    promise(
        engine.installed and not loose,
        expected="all packages of the engine to be held",
        seen=f"not held: {', '.join(loose)}" if loose else "no package of an engine",
        todo=machine.repair("docker_engine"),
    )


def test_apt_knows_where_the_engine_came_from(host: Host, machine: Machine) -> None:
    if machine.inputs.get("docker_engine_source") != "docker":
        pytest.skip("the engine comes from the distribution")
    url = str(machine.inputs.get("docker_engine_repository_url"))
    # A machine that came through the class's depot asks for it by plain http.
    plain = machine.inputs.get("preflight_depot") and re.sub("^https:", "http:", url)
    seen = host.run("cat /etc/apt/sources.list.d/docker.sources; cat /etc/apt/keyrings/docker.asc")

    promise(
        seen.succeeded and any(f"URIs: {one}" in seen.stdout for one in (url, plain) if one),
        expected=f"apt's source docker.sources to name {url}, and its key",
        seen=seen.stderr or seen.stdout.partition("-----BEGIN")[0],
        todo=machine.repair("docker_engine"),
    )
