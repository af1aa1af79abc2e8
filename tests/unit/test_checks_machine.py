"""What is known of a machine beforehand reaches its checks unchanged, through JSON."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from labkit.checks.conftest import _cases
from labkit.checks.machine import Login, Machine, Mate
from labkit.ssh import Connection

CONNECTION = Connection("192.0.2.1", 2222, "maria", "/key", ("-o", "X=y"), "one", "two", "ssh")
SEAT = [{"name": f"vm{number}", "address": f"192.0.2.{number}"} for number in (1, 2, 3)]


def read(**more: Any) -> Machine:
    raw = {"name": "vm2", "seat": "a", "number": 2, "connection": asdict(CONNECTION), **more}
    return Machine.read(json.loads(json.dumps(raw)), Path("/run"))


def test_a_connection_is_the_same_after_its_way_through_json() -> None:
    assert read().connection == CONNECTION


def test_the_machines_of_a_seat_are_numbered_from_1() -> None:
    machine = read(seat_machines=SEAT)

    assert machine.seat_machines[1] == Mate("vm2", "192.0.2.2", 2, "vm2")
    assert [mate.number for mate in machine.mates] == [1, 3]


def test_a_machine_without_a_seats_plan_has_no_mates() -> None:
    assert read().mates == []


@pytest.mark.parametrize(
    ("more", "attendee"),
    [
        ({"login": {"user": "maria"}, "inputs": {"attendee_name": "student"}}, "maria"),
        ({"login": None, "inputs": {"attendee_name": "otto"}}, "otto"),
        ({}, "student"),
    ],
)
def test_the_attendee_is_who_was_handed_a_login(more: dict[str, Any], attendee: str) -> None:
    assert read(**more).attendee == attendee


def test_a_handed_out_password_is_in_no_message() -> None:
    machine = read(login={"user": "maria", "password": "three"})

    assert machine.login == Login("maria", "three")
    assert not {"one", "two", "three"} & set(repr(machine).replace("'", " ").split())


def test_what_to_do_names_the_machine_and_the_role() -> None:
    assert read().repair("images") == "run: labkit provision --limit vm2 --tags images"


def test_there_is_a_check_for_each_image_app_and_build_of_the_class() -> None:
    inputs = {
        "images_pull": [{"reference": "ubuntu:24.04"}, {"reference": "hello-world"}],
        "sample_apps_names": ["fortune-clock"],
        "images_build": [{"context": "a", "files": ["One", "Two"]}, {"context": "b"}],
    }
    cases = _cases(read(inputs=inputs))

    assert cases["image"][1] == ["ubuntu:24.04", "hello-world"]
    assert cases["app"][0] == ["fortune-clock"]
    assert cases["build"][0] == [("a", "One"), ("a", "Two"), ("b", "Dockerfile")]
    assert cases["build"][1] == ["a/One", "a/Two", "b/Dockerfile"]


def test_a_class_without_images_has_no_checks_of_images() -> None:
    cases = _cases(read(inputs={"images_pull": None}))

    assert cases["image"] == ([], [])
    assert cases["build"] == ([], [])
