"""The checking process as labkit starts it, with programs of ours in the place of ssh."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from labkit.checks import child
from labkit.ssh import Connection

Told = list[dict[str, Any]]

REFUSES = "echo 'Connection refused' >&2; exit 255"
# Kills the process that checks it, and would live on.
KILLS = "echo $$ >>{place}/pids; kill -9 $PPID; exec sleep 60"
# Knows its name and an hour, and has nothing else.
HOLLOW = """for line; do :; done
exec env -i PATH={place}/bin {place}/bin/sh -c "$line"
"""
# Lets us in, writes down who it is, and is silent from then on.
SILENT = """echo $$ >>{place}/pids
case "$*" in *exec*) echo labkit-line 0 ;; esac
exec sleep 60
"""
INPUTS = {
    "images_pull": [{"reference": "hello-world"}],
    "sample_apps_names": ["fortune-clock"],
    "images_build": [{"context": "fortune-clock"}],
}


def described(place: Path, **machines: str) -> str:
    """Return the process's input for machines that behave in the ways given."""
    lines = []
    for name, script in machines.items():
        ssh = place / f"ssh-{name}"
        ssh.write_text("#!/bin/sh\n" + script.format(place=place))
        ssh.chmod(0o700)
        connection = asdict(Connection(name, ssh=str(ssh)))
        raw = {"name": name, "seat": "a", "number": 1, "connection": connection, "inputs": INPUTS}
        lines.append(json.dumps(raw) + "\n")
    return "".join(lines)


def start(place: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    (place / "run").mkdir()
    (place / "bin").mkdir()
    for name in ("cat", "mktemp", "rm", "sh", "stat"):
        (place / "bin" / name).symlink_to(f"/bin/{name}")
    for name, answer in (("id", "0"), ("hostname", "hollow"), ("date", "0.0")):
        (place / "bin" / name).write_text(f"#!/bin/sh\necho {answer}\n")
        (place / "bin" / name).chmod(0o700)
    return subprocess.Popen(
        [sys.executable, "-m", "labkit.checks", "--directory", str(place / "run"), *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
    )


def read(said: str) -> Told:
    return [json.loads(line) for line in said.splitlines()]


def of(machine: str, told: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [one for one in told if one["machine"] == machine]


def gone(process: int) -> bool:
    """Return whether a process has ended; who inherits a dead one may bury it late."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state in {"Z", "X"}:
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Check three machines, one after the other, by a labkit in a project with tests of its own."""
    place = tmp_path_factory.mktemp("class")
    (place / "labkit").symlink_to(child.HERE.parent)
    (place / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (place / "conftest.py").write_text("raise SystemExit('not ours')\n")
    process = start(place, "--forks", "1", PYTEST_ADDOPTS="--collect-only", PYTEST_PLUGINS="nose")
    lines = described(place, hollow=HOLLOW, killer=KILLS, refuser=REFUSES)
    said, _ = process.communicate(lines, timeout=60)
    assert process.returncode == 0
    assert gone(int((place / "pids").read_text()))
    return read(said)


def test_every_machine_is_finished_exactly_once(told: Told) -> None:
    finished = [one["machine"] for one in told if "finished" in one]

    assert finished == ["hollow", "killer", "refuser"]


def test_one_fork_means_one_machine_at_a_time(told: Told) -> None:
    order = [one["machine"] for one in told]

    assert order == sorted(order, key=["hollow", "killer", "refuser"].index)


def test_every_promise_is_tried_whatever_pytest_settings_lie_around(told: Told) -> None:
    promised = {
        node.name
        for file in child.HERE.glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    tried = {
        one["check"].partition("::")[2].partition("[")[0]
        for one in of("hollow", told)
        if "check" in one
    }

    assert tried == promised


def test_every_failed_check_says_what_was_expected_seen_and_is_to_do(told: Told) -> None:
    failed = [one for one in of("hollow", told) if one.get("outcome") == "failed"]

    assert len(failed) > 10
    for one in failed:
        assert all(one[word].strip() for word in ("expected", "seen", "todo")), one


def test_what_a_machine_lacks_breaks_no_check(told: Told) -> None:
    broken = [one for one in of("hollow", told) if "bug of labkit" in one.get("todo", "")]

    assert broken == []


def test_a_finished_machine_says_who_it_is(told: Told) -> None:
    assert of("hollow", told)[-1]["identity"]["hostname"] == "hollow"


def test_a_check_whose_process_dies_is_told_with_its_exit_code(told: Told) -> None:
    first, last = of("killer", told)

    assert first["outcome"] == "failed"
    assert first["seen"] == "their process ended with -9 during the connection"
    assert last["identity"] == {}


def test_a_machine_that_refuses_is_unreachable(told: Told) -> None:
    assert [one.get("outcome") for one in of("refuser", told)] == ["unreachable", None]


def test_a_silent_machine_is_given_up_and_holds_nobody_up(tmp_path: Path) -> None:
    process = start(tmp_path, "--forks", "2", "--limit", "1")
    said, _ = process.communicate(described(tmp_path, a=SILENT, b=REFUSES), timeout=30)
    told = read(said)

    assert [one["machine"] for one in told] == ["b", "b", "a", "a"]
    assert told[2]["outcome"] == "failed"
    assert "less than 1 s" in told[2]["expected"]
    assert "the connection" in told[2]["seen"]
    for pid in (tmp_path / "pids").read_text().split():
        assert gone(int(pid))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_when_it_is_stopped_no_ssh_outlives_it(number: int, tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdin
    process.stdin.write(described(tmp_path, vm1=SILENT))
    process.stdin.flush()
    pids = tmp_path / "pids"
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        time.sleep(0.02)
    process.send_signal(number)

    assert process.wait(10) == 130
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    assert process.communicate()[0] == ""


def test_a_machine_that_comes_late_is_checked_too(tmp_path: Path) -> None:
    process = start(tmp_path)
    assert process.stdin
    assert process.stdout
    first, second = described(tmp_path, a=REFUSES, b=REFUSES).splitlines(keepends=True)
    process.stdin.write(first)
    process.stdin.flush()
    seen = [json.loads(process.stdout.readline()) for _ in range(2)]
    said, _ = process.communicate(second, timeout=20)

    assert [one["machine"] for one in seen + read(said)] == ["a", "a", "b", "b"]


# What a child inherits of its parent must not happen twice.
NO_INPUT = """
import pathlib, sys
from labkit.checks.crew import Crew
said = []
crew = Crew(pathlib.Path(sys.argv[1]), 1, 60, said.append)
sys.stdin = None
crew.add({"name": "vm1"})
try:
    (pipe,) = crew.start()
    while not crew.hear(pipe):
        pass
finally:
    print([one.get("outcome") for one in said], crew.busy)
"""


def test_a_child_that_cannot_begin_never_goes_on_as_its_parent(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", NO_INPUT, str(tmp_path)]
    seen = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=20)

    assert seen.stdout == "['failed', None] False\n"
