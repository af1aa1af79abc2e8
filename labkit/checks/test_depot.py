"""The class's depot, as the machine uses it; that it is silent is no fault of the machine's."""

import json
import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import Note, promise
from labkit.events import AGAIN

DETECTOR = "/usr/local/lib/labkit-apt-proxy"
SETTINGS = "/etc/apt/apt.conf.d/95labkit-depot"
RECORD = "/var/lib/labkit/depot.json"
PRISTINE = "/var/lib/labkit/sample_apps"
# Python is what every machine has. The same is asked, for as long, in roles (labkit_depot.py).
KNOCK = (
    "import json; from urllib.request import *; "
    "said = build_opener(ProxyHandler({{}})).open('{url}/labkit', timeout=3).read(65536); "
    "raise SystemExit(json.loads(said)['labkit'] != 'depot')"
)
ANYWHERE = "http://archive.example/"
# It may have been silent for a moment while the machine was provisioned, which was no fault of it.
BACK = f"{AGAIN}, and it is used"


@dataclass(frozen=True, slots=True)
class Depot:
    """Where the class's depot is, where apt finds it, and whether it answers this machine."""

    url: str
    proxy: str
    answers: bool


@pytest.fixture(scope="module")
def depot(host: Host, machine: Machine) -> Depot | None:
    url = str(machine.inputs.get("preflight_depot") or "")
    if not url:
        return None
    address = urlsplit(url).netloc.rpartition(":")[0]
    proxy = f"http://{address}:{machine.inputs.get('preflight_depot_proxy_port') or 3142}"
    knock = shlex.join(["python3", "-c", KNOCK.format(url=url)])
    return Depot(url, proxy, host.run(knock).succeeded)


@pytest.fixture
def answering(depot: Depot | None) -> Depot:
    """Give a depot that answers; a machine without it is looked at by other checks."""
    if depot is None:
        pytest.skip("the class has no depot")
    if not depot.answers:
        pytest.skip("the depot does not answer")
    return depot


def test_the_depot_answers(depot: Depot | None, note: Note) -> None:
    """The machine finds the class's depot, or goes on directly."""
    if depot is None:
        pytest.skip("the class has no depot")
    if not depot.answers:
        note(
            f"the depot {depot.url} does not answer, so this machine goes on directly: look with "
            "labkit depot status, start it with labkit depot up; if it is gone for good, remove "
            "the group [depot] from the inventory"
        )


def test_the_engine_asks_the_depot_first(host: Host, answering: Depot, note: Note) -> None:
    seen = host.run("docker info --format '{{json .RegistryConfig.Mirrors}}'")
    mirrors = [one.rstrip("/") for one in json.loads(seen.stdout or "null") or []]
    if mirrors[:1] != [answering.url]:
        first = seen.stderr.strip() or ", ".join(mirrors) or "no mirror"
        note(f"its engine does not ask the depot {answering.url} first ({first}): {BACK}")


def test_apt_goes_through_the_depot_while_it_answers(
    host: Host, machine: Machine, depot: Depot | None, note: Note
) -> None:
    if depot is None:
        pytest.skip("the class has no depot")
    asked = host.run(f"apt-config dump Acquire::http::Proxy-Auto-Detect; {DETECTOR} {ANYWHERE}")
    named, _, answer = asked.stdout.strip().rpartition("\n")
    if depot.answers and (DETECTOR not in named or answer != depot.proxy):
        note(f"apt does not go through the depot {depot.url} ({answer or 'no answer'}): {BACK}")

    promise(
        depot.answers or answer != depot.proxy,
        expected=f"anything but {depot.proxy}, which is silent, to be what apt goes through",
        seen=f"{asked.stdout}{asked.stderr}",
        todo=machine.repair("base"),
    )


def test_npm_asks_the_depot_in_the_apps(host: Host, answering: Depot, note: Note) -> None:
    line = f"registry={answering.url}/npm/"
    look = f"cd {PRISTINE} && find . -name package-lock.json -printf '%h/.npmrc\\n'"
    folders = host.run(look).stdout.split()
    if not folders:
        pytest.skip("no app has modules of npm")
    found = host.run(f"cd {PRISTINE} && grep -lxF {line} {shlex.join(folders)}").stdout.split()
    if without := [file for file in folders if file not in found]:
        note(f"npm does not ask the depot {answering.url} by {', '.join(without)}: {BACK}")


def test_nothing_points_to_a_depot_that_the_class_does_not_have(
    host: Host, machine: Machine, depot: Depot | None
) -> None:
    if depot is not None:
        pytest.skip("the class has a depot")
    look = f"ls -d {SETTINGS} {DETECTOR} {RECORD}; grep -rlE '^registry=.*/npm/$' {PRISTINE}"
    seen = host.run(f"({look}) 2>/dev/null").stdout.split()

    promise(
        not seen,
        expected="nothing that points to a depot",
        seen=", ".join(seen),
        todo=machine.repair("base,docker_engine,sample_apps"),
    )
