"""What is told of a sandbox: its machines, their state, the registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field

CONTAINERS, VIRTUAL = "docker", "qemu"
BACKENDS = (CONTAINERS, VIRTUAL)


@dataclass(frozen=True)
class MachineStatus:
    """
    One machine: `state` is Docker's word for it, `system` systemd's.

    `system` is empty where the machine does not run or systemd does not answer. `ports` tells
    where on the box's loopback ports of a virtual machine are found; one whose process does
    not answer is "frozen".
    """

    name: str
    seat: str
    address: str
    state: str
    system: str
    ports: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Status:
    """
    A sandbox as it is now; `registry` is its "address:port", empty where there is none.

    `runs_on` tells how the processors of virtual machines are made: "kvm" or "tcg" (emulated).
    """

    backend: str
    engine_reachable: bool
    machines: tuple[MachineStatus, ...]
    registry: str
    stand_ins: bool
    runs_on: str = ""
