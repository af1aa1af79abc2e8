"""The database that has to keep running; a program of ours stands in for Docker's client."""

import contextlib
import runpy
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/images"
proof = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_database_proof.py")))
Says = Callable[[str], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have `docker` be a script; what it was asked stands in `asked`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(script: str) -> None:
        program = tmp_path / "docker"
        program.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n{script}\n')
        program.chmod(0o700)

    return write


def state(*, running: bool = True, code: int = 0, age: float = 50, address: str = "-") -> str:
    began = datetime.now(UTC) - timedelta(seconds=age)
    return f"{str(running).lower()} {code} {began:%Y-%m-%dT%H:%M:%S}.123456789Z sha256:1 {address}"


def inspecting(answer: str, logs: str = "") -> str:
    return f"case $1 in inspect) echo '{answer}' ;; logs) printf '{logs}' ;; esac"


@pytest.mark.parametrize(
    ("code", "logs", "said"),
    [
        (132, "", "exit code 132 within 40 s: its processor lacks AVX"),
        (139, "", "it crashes on this kernel"),
        (62, "wrong data files\\n", "exit code 62 within 40 s: wrong data files"),
        (1, "", "it said nothing"),
    ],
)
def test_a_database_that_ended_is_told_by_its_exit_code(
    docker: Says, code: int, logs: str, said: str
) -> None:
    docker(inspecting(state(running=False, code=code), logs))

    with pytest.raises(proof.Broken, match=said):
        proof.watch(40)


def test_a_container_of_that_image_which_runs_already_is_left_alone(
    docker: Says, tmp_path: Path
) -> None:
    docker(inspecting(state()))
    proof.start("mongo:7.0", "sha256:1")
    asked = (tmp_path / "asked").read_text()
    proof.start("mongo:7.0", "sha256:2")

    assert "run" not in asked
    assert "run --detach --pull=never" in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(("image", "runs"), [("sha256:1", 1), ("sha256:2", 2)])
def test_a_container_that_a_run_cut_off_starts_meanwhile_is_taken_over_or_replaced(
    docker: Says, tmp_path: Path, image: str, runs: int
) -> None:
    taken = 'Conflict. The container name "/labkit-database-proof" is already in use by container'
    docker(
        f"""case $1 in
inspect) grep -q ^run {tmp_path}/asked && echo '{state()}' ;;
run) [ $(grep -c ^run {tmp_path}/asked) = 2 ] || {{ echo '{taken}' >&2; exit 125; }} ;;
esac"""
    )

    proof.start("mongo:7.0", image)

    asked = (tmp_path / "asked").read_text().split("\n")
    assert len([line for line in asked if line.startswith("run")]) == runs


def test_a_container_whose_database_fails_is_removed(docker: Says, tmp_path: Path) -> None:
    docker(inspecting(state(running=False, code=132)))
    with pytest.raises(proof.Broken):
        proof.prove({"image": "mongo:7.0", "seconds": 40, "finish": True}, "sha256:1")

    assert (tmp_path / "asked").read_text().splitlines()[-1].startswith("rm --force --volumes")


@contextlib.contextmanager
def server(answer: bytes, heard: list[bytes]) -> Iterator[None]:
    """Answer one greeting at the database's port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        proof.greet.__globals__["PORT"] = listening.getsockname()[1]

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(65536))
                connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield


def test_the_greeting_is_a_message_as_the_protocol_has_it() -> None:
    length, request, response, kind = struct.unpack("<4i", proof.HELLO[:16])

    assert (length, request, response, kind) == (len(proof.HELLO), 1, 0, 2013)
    assert proof.HELLO[16:21] == bytes(5)
    assert struct.unpack("<i", proof.HELLO[21:25])[0] == len(proof.HELLO) - 21


def test_an_answer_that_is_ok_is_a_databases() -> None:
    heard: list[bytes] = []
    with server(b"...\x01ok\0" + struct.pack("<d", 1.0), heard):
        proof.greet("127.0.0.1")

    assert heard == [proof.HELLO]


def test_another_answer_is_no_databases() -> None:
    with server(b"HTTP/1.0 400", []), pytest.raises(proof.Broken, match="not as MongoDB does"):
        proof.greet("127.0.0.1")
