"""A seat of virtual machines, and what one does with such machines."""

import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Answer, Room, labkit

from labkit.ssh import PASSWORD_ONLY, Connection, askpass, command

# Two: emulated on two processors, a third one slows all.
SEAT = ("seat01-vm1", "seat01-vm2")


@dataclass(frozen=True)
class Virtual(Room):
    """A class folder whose machines are virtual: reached at ports of this box's loopback."""

    def up(self, machines: int) -> Answer:
        """Make the class's one seat, or what is missing of it."""
        answer = labkit(
            *("sandbox", "up", str(self.directory), "--backend", "qemu"),
            *("--seats", "1", "--machines-per-seat", str(machines)),
        )
        assert answer.code == 0, answer.stderr
        return answer

    def down(self) -> None:
        answer = labkit("sandbox", "down", str(self.directory))
        assert answer.code == 0, answer.stderr

    def status(self) -> dict[str, dict]:
        """Return what `sandbox status` tells of each machine."""
        told = json.loads(labkit("sandbox", "status", str(self.directory), "--json").stdout)
        return {one["name"]: one for one in told["machines"]}

    def port(self, machine: str, port: int = 22) -> int:
        """Return where on 127.0.0.1 a port of the machine is found."""
        return int(self.status()[machine]["ports"][str(port)])

    def seat_address(self, machine: str) -> str:
        """Return the machine's address on the machines' own LAN."""
        return str(self.status()[machine]["address"])

    def as_root(self, machine: str, line: str) -> str:
        """Run a line on a machine as root, and return what it printed; it must succeed."""
        reach = Connection(
            "127.0.0.1",
            port=self.port(machine),
            user="instructor",
            key=str(self.directory / "id_ed25519"),
            arguments=self._ssh_arguments(),
        )
        done = run(command(reach, f"sudo sh -c {shlex.quote(line)}"))
        assert done.returncode == 0, f"{machine}: {line}: {done.stdout}{done.stderr}"
        return done.stdout

    def as_attendee(self, machine: str, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line over SSH as the attendee would: with the address and password of the card."""
        login = next(row for row in self.logins() if row["machine"] == machine)
        host, _, port = login["address"].partition(":")
        reach = Connection(
            host, port=int(port), password=login["password"], arguments=self._ssh_arguments()
        )
        with askpass(login["password"], self.directory) as environment:
            return run(
                command(reach, line, user=login["user"], first=PASSWORD_ONLY), env=environment
            )

    def process(self, machine: str) -> int:
        """Return the number of a machine's process, found by the port that it holds."""
        forward = f"127.0.0.1:{self.port(machine)}-:22"
        return next(
            number for arguments, number in qemu_arguments().items() if forward in arguments
        )

    def cut_power(self, machine: str) -> None:
        """Take a machine's power away."""
        number = self.process(machine)
        os.kill(number, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{number}/cmdline").exists() and read(number):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def run(words: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, env=env)


def read(number: int) -> str:
    """Return a process's command line, nothing where it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def qemu_arguments() -> dict[str, int]:
    """Return the command lines of all virtual machines of this box, with their processes."""
    numbers = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    lines = {read(number): number for number in numbers}
    return {line: number for line, number in lines.items() if line.startswith("qemu-system-")}


@pytest.fixture(scope="module")
def bare_seat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Virtual]:
    """A class of one seat with bare virtual machines."""
    room = Virtual(tmp_path_factory.mktemp("virtual"))
    try:
        made = room.up(machines=len(SEAT))
        print(f"\n{len(SEAT)} virtual machines: {made.seconds:.0f} s\n{made.stderr}")  # noqa: T201 - told, with -s
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


@pytest.fixture(scope="module")
def first_provision(bare_seat: Virtual) -> Answer:
    """The first provision of the seat."""
    return bare_seat.labkit("provision")


@pytest.fixture(scope="module")
def seat(bare_seat: Virtual, first_provision: Answer) -> Virtual:
    """The provisioned seat."""
    assert first_provision.code == 0, first_provision.explain()
    return bare_seat
