"""One class of three real machines for all tests here: faults are put on them and undone."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, sync_playwright
from snapshot import Snapshot, take

from labkit.ssh import PASSWORD_ONLY, Connection, askpass, command

LABKIT = [sys.executable, "-m", "labkit"]
LONGEST_SECONDS = 900


@dataclass(frozen=True)
class Answer:
    """What a run of labkit said: its exit code, both streams, its verdicts and events."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def lines(self) -> list[dict]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    @property
    def verdicts(self) -> dict[str, dict]:
        return {line["machine"]: line for line in self.lines if line["type"] == "verdict"}

    @property
    def states(self) -> dict[str, str]:
        return {name: verdict["state"] for name, verdict in self.verdicts.items()}

    def reasons(self, machine: str) -> str:
        """All that is said against a machine, as one text."""
        return json.dumps(self.verdicts[machine]["reasons"], ensure_ascii=False)

    def explain(self) -> str:
        """What to print when an assertion about this run fails."""
        said = {name: verdict["reasons"] for name, verdict in self.verdicts.items()}
        return f"{self.code}\n{json.dumps(said, indent=1)}\n{self.stderr[-3000:]}"


class Running:
    """
    A run of labkit that goes on while a test does something.

    What it starts inherits a mark in its environment, by which all its processes are found.
    """

    def __init__(self, *arguments: str) -> None:
        self.mark = f"LABKIT_TEST_RUN={uuid4()}"
        self._began = time.monotonic()
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            [*LABKIT, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "NO_COLOR": "1", **dict([self.mark.split("=")])},
            start_new_session=True,
        )

    def await_event(self, machine: str, part: str = "", kind: str = "") -> None:
        """Return when the machine is at a role, or at an event of a kind."""
        assert self._process.stdout
        for line in self._process.stdout:
            self._lines.append(line)
            event = json.loads(line)
            met = event.get("kind", "") == kind if kind else event.get("part", "") == part
            if event["machine"] == machine and met:
                return
        raise AssertionError(f"{machine} never came to {part or kind}: {self.finish().explain()}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def finish(self) -> Answer:
        """Wait for its end."""
        stdout, stderr = self._process.communicate(timeout=LONGEST_SECONDS)
        seconds = time.monotonic() - self._began
        return Answer(self._process.returncode, "".join(self._lines) + stdout, stderr, seconds)

    def processes(self) -> dict[int, str]:
        """Return the command lines of all that the run started and that still lives."""
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if self.mark.encode() in (process / "environ").read_bytes():
                    words = (process / "cmdline").read_bytes()
                    found[int(process.name)] = words.replace(b"\0", b" ").decode().strip()
        return found


@dataclass(frozen=True)
class Room:
    """A class folder of a sandbox, and what one does in it."""

    directory: Path

    @property
    def inventory(self) -> Path:
        return self.directory / "class.ini"

    def labkit(self, verb: str, *arguments: str) -> Answer:
        return labkit(verb, "-i", str(self.inventory), "--json", *arguments)

    def running(self, verb: str, *arguments: str) -> Running:
        return Running(verb, "-i", str(self.inventory), "--json", *arguments)

    def logins(self) -> list[dict[str, str]]:
        with (self.directory / "logins.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    def as_attendee(self, machine: str, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line over SSH as the attendee would: with the password from the card."""
        login = next(row for row in self.logins() if row["machine"] == machine)
        arguments = self._ssh_arguments()
        reach = Connection(login["address"], password=login["password"], arguments=arguments)
        with askpass(login["password"], self.directory) as environment:
            return subprocess.run(
                command(reach, line, user=login["user"], first=PASSWORD_ONLY),
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=300,
            )

    def as_root(self, machine: str, line: str) -> str:
        """Run a line on a machine as root, and return what it printed; it must succeed."""
        reach = Connection(
            self.address(machine),
            user="instructor",
            key=str(self.directory / "id_ed25519"),
            arguments=self._ssh_arguments(),
        )
        done = subprocess.run(
            command(reach, f"sudo sh -c '{line}'"),
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, f"{machine}: {line}: {done.stdout}{done.stderr}"
        return done.stdout

    def address(self, machine: str) -> str:
        """Return a machine's address as the inventory has it, also before any provision."""
        lines = (line.split() for line in self.inventory.read_text().splitlines())
        words = next(words for words in lines if words and words[0] == machine)
        return next(word for word in words if word.startswith("ansible_host=")).partition("=")[2]

    @property
    def gateway(self) -> str:
        """The box's own address in the class's network."""
        return self.address(MACHINES[0]).rpartition(".")[0] + ".1"

    def _ssh_arguments(self) -> tuple[str, ...]:
        known = self.directory / "known_hosts"
        return ("-o", f'UserKnownHostsFile="{known}"', "-o", "StrictHostKeyChecking=yes")

    def container(self, machine: str) -> str:
        """Return the name of the container that a machine is."""
        listed = docker("ps", "--all", "--quiet", "--filter", "label=labkit.sandbox").split()
        shown = json.loads(docker("inspect", *listed))
        address = self.address(machine)
        return next(
            one["Name"][1:] for one in shown if address in json.dumps(one["NetworkSettings"])
        )

    @contextmanager
    def stopped(self, machine: str) -> Iterator[None]:
        """Keep a machine switched off for a while."""
        name = self.container(machine)
        docker("stop", "--time", "5", name)
        try:
            yield
        finally:
            docker("start", name)
            self.wait_until_up(machine)

    @contextmanager
    def frozen(self, machine: str) -> Iterator[None]:
        """Keep a machine from doing anything, while its address still answers."""
        name = self.container(machine)
        docker("pause", name)
        try:
            yield
        finally:
            docker("unpause", name)
            self.wait_until_up(machine)

    def wait_until_up(self, machine: str) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.as_root(machine, "systemctl is-system-running --wait || true")
            except (AssertionError, subprocess.TimeoutExpired):
                assert time.monotonic() < deadline, f"{machine} did not come back"
                time.sleep(1)
            else:
                return


def labkit(*arguments: str) -> Answer:
    """Run the command line as an instructor would."""
    began = time.monotonic()
    done = subprocess.run(
        [*LABKIT, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST_SECONDS,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def docker(*arguments: str) -> str:
    """Run a command of the box's own Docker engine."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what wants bare machines before all that provisions them, in whichever file it stands."""
    items.sort(key=lambda item: "cold" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """A class of one seat with three bare machines."""
    room = Room(tmp_path_factory.mktemp("class"))
    made = labkit("sandbox", "up", str(room.directory), "--seats", "1", "--machines-per-seat", "3")
    try:
        assert made.code == 0, made.stderr
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


@pytest.fixture(scope="session")
def untouched(bare: Room) -> Snapshot:
    """What the first machine held before any provision."""
    return take(lambda line: bare.as_root(MACHINES[0], line))


@pytest.fixture(scope="session")
def cold(bare: Room, untouched: Snapshot) -> Answer:
    """The first provision of the class."""
    assert untouched.files
    return bare.labkit("provision")


@pytest.fixture
def room(bare: Room, cold: Answer) -> Room:
    """The provisioned class."""
    assert cold.code == 0, cold.explain()
    return bare


# Chromium must look for nothing but the page, on a box that reaches nothing else.
FLAGS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-sandbox",
)


@pytest.fixture
def page() -> Iterator[Page]:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    assert browser, "script/setup installs a browser"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        yield chromium.new_page(viewport={"width": 900, "height": 700})
        chromium.close()


MACHINES: Sequence[str] = ("seat01-vm1", "seat01-vm2", "seat01-vm3")
