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

NAME = "labkit-0a503fcf-seat01-vm1"
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


def test_ours_is_known_by_program_and_name(start: Start, tmp_path: Path) -> None:
    number = start("-name", NAME)

    assert process.pid(tmp_path, NAME) == number


@pytest.mark.parametrize(
    ("arguments", "program"),
    [
        (("-name", "labkit-0a503fcf-seat01-vm2"), process.PROGRAM),
        (("-name", f"{NAME}0"), process.PROGRAM),
        ((NAME,), "less"),
    ],
    ids=["another machine", "a longer name", "another program"],
)
def test_a_process_that_took_over_the_number_is_left_alone(
    start: Start, tmp_path: Path, arguments: tuple[str, ...], program: str
) -> None:
    number = start(*arguments, program=program)

    assert process.pid(tmp_path, NAME) == 0
    assert process.state(tmp_path, NAME) == process.EXITED
    assert not process.end(tmp_path, NAME)
    os.kill(number, 0)


@pytest.mark.parametrize("left", [None, "", "99999999\n", "no number", "-1"])
def test_what_a_killed_run_left_is_no_process(tmp_path: Path, left: str | None) -> None:
    if left is not None:
        (tmp_path / "pid").write_text(left)

    assert process.state(tmp_path, NAME) == process.EXITED
    assert not process.end(tmp_path, NAME)


def test_one_that_does_not_answer_is_frozen_and_can_be_ended(start: Start, tmp_path: Path) -> None:
    number = start("-name", NAME)
    os.kill(number, signal.SIGSTOP)
    assert process.state(tmp_path, NAME) == process.FROZEN

    assert process.end(tmp_path, NAME)

    assert process.state(tmp_path, NAME) == process.EXITED


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
