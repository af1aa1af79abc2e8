"""What is done for one machine always ends in a word about it."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from labkit.checks import child
from labkit.checks.child import FILES, IDENTITY, check
from labkit.ssh import Connection

Told = list[dict[str, Any]]
Program = Callable[[str], str]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Write a program that stands in for ssh, and return where it is."""

    def write(text: str) -> str:
        file = tmp_path / "ssh"
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o700)
        return str(file)

    return write


def tell(ssh: str, directory: Path) -> Told:
    told: Told = []
    connection = asdict(Connection("vm1", ssh=ssh))
    raw = {"name": "vm1", "seat": "a", "number": 1, "connection": connection}
    check(raw, directory, lambda one: told.append(dict(one)))
    return told


def test_a_machine_out_of_reach_has_one_outcome_and_is_finished(
    program: Program, tmp_path: Path
) -> None:
    outcome, finished = tell(program("echo 'No route to host' >&2; exit 255"), tmp_path)

    assert (outcome["outcome"], outcome["seen"]) == ("unreachable", "No route to host")
    assert finished["finished"]
    assert finished["identity"] == {}


def test_a_login_without_root_is_the_instructors_to_repair(
    program: Program, tmp_path: Path
) -> None:
    ssh = 'for line; do :; done; case "$line" in *id*) echo labkit-line 1000; exec cat; esac'
    outcome, finished = tell(program(f"{ssh}; echo 'a password is required' >&2; exit 1"), tmp_path)

    assert (outcome["outcome"], outcome["seen"]) == ("failed", "a password is required")
    assert "-K" in outcome["todo"]
    assert finished["finished"]


def test_what_cannot_even_be_understood_is_told_as_failed(tmp_path: Path) -> None:
    told: Told = []
    check({"name": "vm1"}, tmp_path, lambda one: told.append(dict(one)))

    assert [one.get("outcome") for one in told] == ["failed", None]
    assert "KeyError" in told[0]["seen"]
    assert told[1]["finished"]


def test_all_files_of_checks_are_tried() -> None:
    there = {file.stem.removeprefix("test_") for file in child.HERE.glob("test_*.py")}

    assert set(FILES) == there
    assert len(FILES) == len(there)


def identity(place: Path, engine: str = "false") -> dict[str, str]:
    """Return the identity of a machine whose files lie in `place`; `engine` stands for docker."""
    text = IDENTITY.replace("docker info", engine)
    for folder in ("/etc/", "/var/"):
        text = text.replace(folder, f"{place}{folder}")

    class Here:
        def ask_root(self, _: str) -> subprocess.CompletedProcess[bytes]:
            return subprocess.run(["sh", "-c", text], capture_output=True, check=False)

    return child._identity(Here())  # type: ignore[arg-type]  # noqa: SLF001 - a line to no machine


FOUND = {
    "machine_id": ("etc/machine-id", "aa\n", "aa"),
    # The engine ends its file without a line's end.
    "engine_id": ("var/lib/docker/engine-id", "bb-cc", "bb-cc"),
    "host_key": ("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@vm1\n", "AAAA"),
}


@pytest.mark.parametrize("lacking", [None, *FOUND])
def test_an_identity_is_told_by_its_parts_whichever_is_lacking(
    lacking: str | None, tmp_path: Path
) -> None:
    for name, (file, text, _) in FOUND.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        if name != lacking:
            (tmp_path / file).write_text(text)

    assert identity(tmp_path) == {
        "hostname": os.uname().nodename,
        **{name: "" if name == lacking else seen for name, (_, _, seen) in FOUND.items()},
    }


def test_an_engines_id_is_found_wherever_its_data_lies(tmp_path: Path) -> None:
    (tmp_path / "engine-id").write_text("bb-cc")

    assert identity(tmp_path, f"sh -c 'echo {tmp_path}'")["engine_id"] == "bb-cc"


def test_an_older_engine_says_its_id_itself(tmp_path: Path) -> None:
    assert identity(tmp_path, 'sh -c "echo dd-ee"')["engine_id"] == "dd-ee"
