"""The fixtures that every check may ask for, and what the parametrized ones run over."""

from collections.abc import Sequence
from typing import Any

import pytest
from testinfra.host import Host

from labkit.checks import backend
from labkit.checks.child import SUBJECT
from labkit.checks.machine import Machine
from labkit.checks.promise import Note


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Note:
    """Give a way to tell the instructor something although nothing is wrong."""
    return lambda text: request.node.user_properties.append(("note", text))


@pytest.fixture(scope="session")
def machine(pytestconfig: pytest.Config) -> Machine:
    """Give what is known of the machine beforehand."""
    return pytestconfig.stash[SUBJECT].machine


@pytest.fixture(scope="session")
def host(pytestconfig: pytest.Config) -> Host:
    """Give the machine, as root."""
    subject = pytestconfig.stash[SUBJECT]
    return backend.as_root(subject.machine.name, subject.line)


@pytest.fixture(scope="session")
def attendee(pytestconfig: pytest.Config) -> Host:
    """Give the machine, as the attendee who logs in now."""
    subject = pytestconfig.stash[SUBJECT]
    machine = subject.machine
    return backend.as_attendee(machine.name, subject.line, machine.attendee)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one check of each image, app, build and kernel feature of the class."""
    machine = metafunc.config.stash[SUBJECT].machine
    for name, (values, ids) in _cases(machine).items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, values, ids=ids)


def _cases(machine: Machine) -> dict[str, tuple[Sequence[Any], Sequence[str]]]:
    images = machine.inputs.get("images_pull") or []
    apps = machine.inputs.get("sample_apps_names") or []
    builds = [
        (build["context"], file)
        for build in machine.inputs.get("images_build") or []
        for file in build.get("files") or ["Dockerfile"]
    ]
    ports = machine.inputs.get("verify_ports") or []
    features = ["overlay", "bridge", "vxlan"]
    return {
        "image": (images, [image["reference"] for image in images]),
        "app": (apps, apps),
        "build": (builds, ["/".join(build) for build in builds]),
        "port": (ports, [str(port) for port in ports]),
        "feature": (features, features),
    }
