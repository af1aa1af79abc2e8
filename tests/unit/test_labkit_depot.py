"""Whether a depot answers a machine, and what the machine does without it."""

import runpy
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import labkit_depot as depot
from depots import answering

ROLES = Path(__file__).parents[2] / "roles"
preflight = SimpleNamespace(**runpy.run_path(str(ROLES / "preflight/library/labkit_preflight.py")))
settling = SimpleNamespace(**runpy.run_path(str(ROLES / "base/library/labkit_settle.py")))

PROXY = "http://192.0.2.2:3142"
ARCHIVE = "http://archive.example/debian"


@pytest.fixture
def nobody() -> str:
    """A place at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_a_depot_that_answers_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.invalid:3128")
    with answering() as url:
        assert depot.silence(url, 2) == ""


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("<html>please log in</html>", 200, "what answers there is no depot"),
        ("[]", 200, "what answers there is no depot"),
        ('{"labkit": "desk"}', 200, "what answers there is no depot"),
        ("", 403, "it answers 403"),
    ],
)
def test_another_server_is_no_depot(text: str, status: int, said: str) -> None:
    with answering(text, status) as url:
        assert said in depot.silence(url, 2)


def test_a_depot_that_is_switched_off_is_silent(nobody: str) -> None:
    assert depot.silence(nobody, 2) == "Connection refused"


def test_a_depot_that_hangs_is_silent_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "timed out" in depot.silence(f"http://127.0.0.1:{server.getsockname()[1]}", 0.2)


def test_a_machine_knows_a_depot_that_answers() -> None:
    machine: dict[str, Any] = {}
    with answering() as url:
        wanted = {"depot": url, "depot_proxy": PROXY}

        assert preflight.find_depot(machine, wanted) == []
        assert (machine["depot"], machine["depot_proxy"]) == (url, PROXY)


def test_a_silent_depot_is_noted_with_what_to_do(nobody: str) -> None:
    machine: dict[str, Any] = {}
    wanted = {"depot": nobody, "depot_proxy": PROXY}
    (note,) = preflight.find_depot(machine, wanted)

    assert note.startswith(f"the depot {nobody} does not answer (Connection refused)")
    assert "labkit depot up" in note
    assert (machine["depot"], machine["depot_proxy"]) == ("", "")
    assert machine["named_depot"] == {"url": nobody, "proxy": PROXY}


def test_a_class_without_a_depot_hears_nothing_of_it() -> None:
    machine: dict[str, Any] = {}

    assert preflight.find_depot(machine, {"depot": "", "depot_proxy": ""}) == []
    assert machine["depot"] == ""


def ask(tmp_path: Path, url: str, address: str) -> str:
    """Run the program that apt asks, as apt does."""
    program = tmp_path / "detector"
    program.write_text(settling.detector(url, PROXY))
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        [program, address], capture_output=True, text=True, check=True, env=environment
    )
    return done.stdout.strip()


def test_apt_is_sent_to_a_depot_that_answers(tmp_path: Path) -> None:
    with answering() as url:
        assert ask(tmp_path, url, ARCHIVE) == PROXY
        assert ask(tmp_path, url, "http://localhost:8000/debian") == "DIRECT"
        # No word: what is set for https elsewhere counts.
        assert ask(tmp_path, url, "https://archive.example") == ""


def test_apt_goes_directly_where_the_depot_is_dead_or_another(tmp_path: Path, nobody: str) -> None:
    (tmp_path / "apt-config").write_text("#!/bin/sh\n")
    (tmp_path / "apt-config").chmod(0o755)
    for text, status in (("", 403), ("<html>please log in</html>", 200)):
        with answering(text, status) as url:
            assert ask(tmp_path, url, ARCHIVE) == "DIRECT"
    assert ask(tmp_path, nobody, ARCHIVE) == "DIRECT"


def test_apt_keeps_a_proxy_of_its_own_where_the_depot_is_dead(tmp_path: Path, nobody: str) -> None:
    (tmp_path / "apt-config").write_text("#!/bin/sh\necho \"own='http://own.example:3128'\"\n")
    (tmp_path / "apt-config").chmod(0o755)

    assert ask(tmp_path, nobody, ARCHIVE) == "http://own.example:3128"


def test_nothing_is_left_to_ask_without_a_depot() -> None:
    given = {"machines": [], "own_name": "vm1", "hostname": "vm1", "locale": "C.UTF-8"}
    more = {"upgrades_held": False, "cloud_init": False, "depot": "", "depot_proxy": ""}
    files = settling.wanted_files({**given, **more})

    assert files[settling.DETECTOR] == files["/etc/apt/apt.conf.d/95labkit-depot"] == ""
