"""Where virtual machines keep their files, and what is written down about a sandbox of them."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from labkit.sandbox import cache, plan
from labkit.sandbox.vm import wiring
from labkit.sandbox.vm.hardware import Cards, Hardware

_RECORD = "sandbox.json"
# Written last: a machine without it was never finished.
_BORN = "born"


@dataclass(frozen=True)
class Sandbox:
    """What a sandbox's machines are made from, and what tells them apart."""

    name: str
    release: str
    # Folders of the cache: the image, and the saved state that a machine begins with.
    image: str
    warm: str
    made_of: Hardware
    network: str
    first_port: int
    machines: tuple[plan.PlannedMachine, ...]

    @property
    def folder(self) -> Path:
        """Where the machines' folders are."""
        return folder(self.name)


@dataclass(frozen=True)
class Machine:
    """One machine of a sandbox: all that follows from its name."""

    sandbox: Sandbox
    planned: plan.PlannedMachine

    @property
    def name(self) -> str:
        """The machine's name, as in the inventory."""
        return self.planned.name

    @property
    def folder(self) -> Path:
        """Where its disk, its sockets and its console are."""
        return self.sandbox.folder / self.name

    @property
    def address(self) -> str:
        """Its address on the machines' own LAN."""
        return self.planned.address(IPv4Network(self.sandbox.network))

    @property
    def forwards(self) -> dict[int, int]:
        """Where on the box's loopback its ports are."""
        return wiring.forwards(self.sandbox.first_port, self.planned.offset)

    @property
    def cards(self) -> Cards:
        """Its network cards."""
        lan, mac = (
            wiring.lan(self.sandbox.name),
            wiring.mac(self.sandbox.name, self.planned.offset),
        )
        return Cards(self.forwards, lan, mac)

    @property
    def born(self) -> bool:
        """Whether it has been given a name and keys of its own."""
        return (self.folder / _BORN).exists()

    def mark_born(self) -> None:
        """Note that the machine is finished."""
        (self.folder / _BORN).touch()


def images() -> Path:
    """Return the folder of the machines' images; they stay for the next sandbox."""
    return cache.folder() / "images"


def folder(sandbox: str) -> Path:
    """Return the folder of a sandbox's virtual machines; it goes with the sandbox."""
    return cache.folder() / "vms" / sandbox


def read(sandbox: str) -> Sandbox | None:
    """Return what is written down of a sandbox, None where there are no virtual machines."""
    try:
        told: dict[str, Any] = json.loads((folder(sandbox) / _RECORD).read_text())
    except (OSError, ValueError):
        return None
    machines = tuple(plan.PlannedMachine(**one) for one in told.pop("machines"))
    return Sandbox(**{**told, "made_of": Hardware(**told["made_of"]), "machines": machines})


def write(sandbox: Sandbox) -> None:
    """Write it down, all or nothing."""
    sandbox.folder.mkdir(parents=True, exist_ok=True)
    draft = sandbox.folder / f"{_RECORD}.new"
    draft.write_text(json.dumps(asdict(sandbox), indent=1))
    draft.replace(sandbox.folder / _RECORD)


def all_sandboxes() -> Iterator[Sandbox]:
    """Yield every sandbox of virtual machines that this user has on this box."""
    for record in sorted((cache.folder() / "vms").glob(f"*/{_RECORD}")):
        if found := read(record.parent.name):
            yield found


def forget_older(made: Path, of_its_kind: str) -> None:
    """Remove what is beside a folder of the cache, of its kind, and no sandbox is made from."""
    used = {part for one in all_sandboxes() for part in (one.image, one.warm)}
    for other in made.parent.glob(of_its_kind):
        if other != made and other.name not in used:
            shutil.rmtree(other, ignore_errors=True)


def machines(sandbox: Sandbox) -> list[Machine]:
    """Return the sandbox's machines in the order of the inventory, there or not."""
    return [Machine(sandbox, planned) for planned in sandbox.machines]


def forget(sandbox: str) -> None:
    """Remove all that is kept of a sandbox; its processes must have ended."""
    shutil.rmtree(folder(sandbox), ignore_errors=True)
