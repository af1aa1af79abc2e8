"""Whatever this controller is like, labkit either does its work or says what is lacking."""

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Labkit

from labkit.controller import OLDEST_ANSIBLE

ROOT = Path(__file__).parents[2]
GOOD = "[machines]\nvm1 ansible_host=127.0.0.1 ansible_port=1\n"
REFUSED = "Connection refused"
VERIFY = ("verify", "-i", "class.ini")


@pytest.fixture
def known(labkit: Labkit) -> Labkit:
    """A class of one machine that refuses to be met: its verdict is told at once."""
    (labkit.folder / "class.ini").write_text(GOOD)
    return labkit


def told(said: subprocess.CompletedProcess[str], code: int, words: str) -> bool:
    what, todo = said.stderr.splitlines()
    assert "Traceback" not in said.stderr
    assert todo.startswith("  → ")
    return said.returncode == code and re.search(words, what) is not None


def untouched(known: Labkit) -> bool:
    return list(known.kept()) == ["class.ini"] and not list(known.scratch.iterdir())


def without_site_packages(
    known: Labkit, place: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """Run labkit with nothing beside it but what draws the screen, and what lies in `place`."""
    import bcrypt
    import click
    import markdown_it
    import mdurl
    import pygments
    import rich

    for package in (bcrypt, click, rich, pygments, markdown_it, mdurl):
        folder = Path(str(package.__file__)).parent
        (place / folder.name).symlink_to(folder)
    return subprocess.run(
        known.command(*(more or VERIFY), python=["-S"]),
        cwd=known.folder,
        env=known.environment({"PYTHONPATH": f"{place}:{ROOT}"}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_oldest_ansible_is_the_one_that_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = [one for one in project["dependencies"] if one.startswith("ansible-core")]

    assert wanted.startswith(f"ansible-core>={'.'.join(map(str, OLDEST_ANSIBLE))},")


def test_a_missing_ansible_is_told(known: Labkit, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()

    assert told(without_site_packages(known, tmp_path / "site"), 3, "there is no ansible-core")
    assert untouched(known)


def test_an_ansible_that_is_too_old_is_told(known: Labkit, tmp_path: Path) -> None:
    about = tmp_path / "site" / "ansible_core-2.15.13.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Name: ansible-core\nVersion: 2.15.13\n")
    said = without_site_packages(known, tmp_path / "site")

    assert told(said, 3, r"ansible-core 2\.15\.13 is too old, labkit needs 2\.19")
    assert untouched(known)


def test_both_versions_are_named_also_where_one_is_missing(known: Labkit, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    bare = without_site_packages(known, tmp_path / "site", "--version")

    assert re.fullmatch(r"labkit [\d.]+ \(ansible-core [\d.]+\)\n", known("--version").stdout)
    assert re.fullmatch(r"labkit [\d.]+ \(ansible-core is missing\)\n", bare.stdout)


def test_a_missing_ssh_is_told(known: Labkit) -> None:
    # setpriv, too, is looked up on PATH.
    first, *rest = known.command(*VERIFY)
    command = [subprocess.check_output(["which", first], text=True).strip(), *rest]
    said = subprocess.run(
        command,
        cwd=known.folder,
        env=known.environment({"PATH": "/nowhere"}),
        capture_output=True,
        text=True,
        check=False,
    )

    assert told(said, 3, "there is no ssh client 'ssh'")
    assert untouched(known)


def test_a_name_that_leads_nowhere_is_the_machines_verdict(labkit: Labkit) -> None:
    (labkit.folder / "class.ini").write_text("[machines]\nvm1 ansible_host=no-such.invalid\n")
    said = labkit(*VERIFY)

    assert said.returncode == 1
    assert re.search(r"(?m)^vm1 +unreachable", said.stdout)
    assert "Could not resolve hostname no-such.invalid" in said.stdout


@pytest.mark.parametrize("home", [None, "/proc/nowhere"], ids=["unset", "not writable"])
def test_no_home_is_needed(
    known: Labkit, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "ANSIBLE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    said = known("provision", "-i", "class.ini", "--check", **({"HOME": home} if home else {}))

    assert said.returncode == 1
    assert REFUSED in said.stdout


@pytest.mark.parametrize(
    "variables",
    [
        {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "xx_XX.nowhere"},
        {"PYTHONIOENCODING": "latin1"},
    ],
    ids=["C", "unknown", "latin1"],
)
def test_a_poor_locale_costs_some_signs_at_most(known: Labkit, variables: dict[str, str]) -> None:
    said = known(*VERIFY, **variables)

    assert said.returncode == 1
    assert REFUSED in said.stdout
    assert "    → does sshd run" in said.stdout or "    -> does sshd run" in said.stdout


def on_a_terminal(known: Labkit, columns: int, term: str) -> tuple[int, str]:
    """Return the exit code, and all that was drawn, as it was drawn."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 12, columns, 0, 0))
    variables = {**known.environment({"TERM": term})}
    variables.pop("COLUMNS", None)
    process = subprocess.Popen(
        known.command(*VERIFY),
        cwd=known.folder,
        env=variables,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    with contextlib.suppress(OSError):  # so a terminal ends whose other side is closed
        while part := os.read(ours, 65536):
            drawn += part
    os.close(ours)
    return process.wait(), drawn.decode()


def test_a_narrow_terminal_is_wide_enough(known: Labkit) -> None:
    code, drawn = on_a_terminal(known, 40, "xterm")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn).replace("\r", "\n").splitlines()
    board = [line for line in lines if not line.startswith("to try only")]

    assert code == 1
    assert any(re.match(r"vm1 +unreachable", line) for line in lines)
    assert max(map(len, board)) <= 40


def test_a_dumb_terminal_gets_plain_lines(known: Labkit) -> None:
    code, drawn = on_a_terminal(known, 80, "dumb")

    assert code == 1
    assert REFUSED in drawn
    assert "\x1b" not in drawn


@pytest.mark.parametrize(
    "typed", [VERIFY, ("provision", "-i", "class.ini", "--check"), ("--help",)]
)
def test_a_reader_who_has_read_enough_ends_it_quietly(
    known: Labkit, typed: tuple[str, ...]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    said = subprocess.run(
        known.command(*typed),
        cwd=known.folder,
        env=known.environment({}),
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(writer)

    assert (said.returncode, said.stderr) == (1, "")


def test_streams_that_were_closed_before_are_not_missed(known: Labkit) -> None:
    line = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *known.command(*VERIFY)]
    code = subprocess.run(line, cwd=known.folder, env=known.environment({}), check=False).returncode

    assert code == 1
    (events,) = known.folder.glob(".labkit/runs/*/events.jsonl")
    assert all(line.startswith("{") for line in events.read_text().splitlines())


@pytest.fixture
def silence() -> Iterator[socket.socket]:
    """A machine that takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_one_run_at_a_time_has_the_class(labkit: Labkit, silence: socket.socket) -> None:
    port = silence.getsockname()[1]
    inventory = labkit.folder / "class.ini"
    inventory.write_text(f"[machines]\nvm1 ansible_host=127.0.0.1 ansible_port={port}\n")
    first = subprocess.Popen(
        [sys.executable, "-m", "labkit", *VERIFY],
        cwd=labkit.folder,
        env=labkit.environment({}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    lock = labkit.folder / ".labkit" / "lock"
    while first.poll() is None and not (lock.exists() and lock.read_text()):
        time.sleep(0.05)
    before = list(labkit.kept())
    second = labkit("provision", "-i", "class.ini")
    first.send_signal(signal.SIGKILL)
    first.wait()
    silence.close()

    assert told(second, 3, rf"labkit verify, process {first.pid}, since \d{{4}}-")
    assert list(labkit.kept()) == before
    # What was killed holds nothing.
    assert labkit(*VERIFY).returncode == 1
