"""A machine's process is found again, ended, and nobody else's is taken for it."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.errors import ControllerError
from labkit.sandbox.vm import process

Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, program: str = process.PROGRAM) -> int:
        # `python -c` takes any arguments behind the code, and ends by a signal as QEMU does.
        begun.append(
            subprocess.Popen(
                [
                    "bash",
                    "-c",
                    f'exec -a {program} python3 -c "import time; time.sleep(60)" "$@"',
                    "-",
                    *arguments,
                ]
            )
        )
        number = begun[-1].pid
        (tmp_path / "pid").write_text(f"{number}\n")
        deadline = time.monotonic() + 10
        while not Path(f"/proc/{number}/cmdline").read_bytes().startswith(program.encode()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return number

    yield start
    for one in begun:
        one.kill()
        one.wait()


def test_ours_is_known_by_its_program_and_its_own_file(start: Start, tmp_path: Path) -> None:
    number = start("-pidfile", f"{tmp_path}/pid")

    assert process.pid(tmp_path) == number


@pytest.mark.parametrize(
    ("pidfile", "program"),
    [("/elsewhere/pid", process.PROGRAM), ("{}/pid0", process.PROGRAM), ("{}/pid", "less")],
    ids=["another machine", "a longer name", "another program"],
)
def test_a_process_that_took_over_the_number_is_left_alone(
    start: Start, tmp_path: Path, pidfile: str, program: str
) -> None:
    number = start("-pidfile", pidfile.format(tmp_path), program=program)

    assert process.pid(tmp_path) == 0
    assert process.state(tmp_path) == process.EXITED
    assert not process.end(tmp_path)
    os.kill(number, 0)


@pytest.mark.parametrize("left", [None, "", "99999999\n", "no number", "-1"])
def test_what_a_killed_run_left_is_no_process(tmp_path: Path, left: str | None) -> None:
    if left is not None:
        (tmp_path / "pid").write_text(left)

    assert process.state(tmp_path) == process.EXITED
    assert not process.end(tmp_path)


def test_one_that_does_not_answer_is_frozen_and_can_be_ended(start: Start, tmp_path: Path) -> None:
    number = start("-pidfile", f"{tmp_path}/pid")
    os.kill(number, signal.SIGSTOP)
    assert process.state(tmp_path) == process.FROZEN

    assert process.end(tmp_path)

    assert process.state(tmp_path) == process.EXITED


def test_why_qemu_did_not_start_is_told(tmp_path: Path) -> None:
    with pytest.raises(ControllerError, match="Could not set up host forwarding rule") as refused:
        process.start(
            tmp_path, ["sh", "-c", "echo Could not set up host forwarding rule >&2; exit 1"]
        )

    assert refused.value.hint


def test_the_consoles_end_is_told_without_what_is_empty(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_text("one\n\ntwo\nthree \nfour\nfive\n\r")

    assert process.last_words(tmp_path) == "two\nthree\nfour\nfive"
    assert process.last_words(tmp_path / "none") == ""
