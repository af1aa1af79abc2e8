"""The fortune clock, run as it is, with a cow of our own where there is none."""

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "fortune-clock"


@pytest.fixture
def clock(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    for name, text in (("fortune", "echo You will dance."), ("cowsay", "sed 's/^/Moo: /'")):
        if not shutil.which(name, path="/usr/bin:/usr/games"):
            (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
            (tmp_path / name).chmod(0o755)
    process = subprocess.Popen(
        # What starts the tests may ignore signals, and a shell cannot undo what it inherits.
        ["env", "--default-signal", APP / "clock.sh"],
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    yield process
    process.kill()
    process.wait()


def test_the_clock_tells_the_time_and_a_fortune(clock: subprocess.Popen[str]) -> None:
    assert clock.stdout
    told = [clock.stdout.readline(), clock.stdout.readline()]

    assert told[0].startswith("It is ")
    assert told[1].strip()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_the_clock_stops_within_a_second_when_asked(
    clock: subprocess.Popen[str], name: str
) -> None:
    assert clock.stdout
    clock.stdout.readline()
    asked = time.monotonic()
    clock.send_signal(signal.Signals[name])

    # The output ends only when nothing of the clock is left, its pause included.
    clock.communicate(timeout=3)

    assert clock.wait(timeout=1) == 0
    assert time.monotonic() - asked < 1


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.few-layers"])
def test_the_base_image_is_a_fixed_version_that_can_be_changed(name: str) -> None:
    lines = (APP / name).read_text().splitlines()

    assert "ARG UBUNTU_VERSION=24.04" in lines
    assert "FROM ubuntu:${UBUNTU_VERSION}" in lines
