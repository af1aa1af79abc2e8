"""Names and addresses of a sandbox, derived from its directory alone."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from labkit.errors import BadInput

# The benchmark range (RFC 2544): never a campus LAN, a VPN, one of Docker's own pools, nor
# 10.0.0.0/8, from which a swarm takes its overlay networks.
POOL = IPv4Network("198.18.0.0/15")

# The address tells seat and machine at a glance: .11, .12, .13, .21, …
MOST_SEATS = 24
MOST_MACHINES_PER_SEAT = 9

LABEL = "labkit.sandbox"
DEPOT = "depot"


@dataclass(frozen=True)
class PlannedMachine:
    """One machine to be: `name` as in the inventory, `offset` of its address in the network."""

    name: str
    seat: str
    offset: int

    def address(self, network: IPv4Network) -> str:
        """Return the machine's fixed address in the sandbox's network."""
        return str(network[self.offset])


def sandbox_id(directory: Path) -> str:
    """Return the eight hex digits that name everything of the sandbox in that directory."""
    return hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:8]


def resource_name(sandbox: str, machine: str = "") -> str:
    """Return the name that Docker knows the sandbox's network, or one of its machines, by."""
    return f"labkit-{sandbox}-{machine}" if machine else f"labkit-{sandbox}"


def labels(sandbox: str) -> dict[str, str]:
    """Return the label by which `down` finds what is the sandbox's own."""
    return {LABEL: sandbox}


def machines(seats: int, machines_per_seat: int) -> list[PlannedMachine]:
    """
    Return the machines of a class in inventory order.

    Raises:
        BadInput: There are none, or more than the network's numbering holds.
    """
    _check_count("seats", seats, MOST_SEATS)
    _check_count("machines per seat", machines_per_seat, MOST_MACHINES_PER_SEAT)
    return [
        PlannedMachine(f"seat{seat:02}-vm{machine}", f"seat{seat:02}", 10 * seat + machine)
        for seat in range(1, seats + 1)
        for machine in range(1, machines_per_seat + 1)
    ]


def depot() -> PlannedMachine:
    """Return the class's depot: a machine of no seat, at the first address after the box's own."""
    return PlannedMachine(DEPOT, "", 2)


def _check_count(what: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise BadInput(
            f"A sandbox cannot have {count} {what}.", hint=f"Ask for a number from 1 to {most}."
        )


def free_networks(sandbox: str, taken: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """
    Yield the /24 networks the sandbox may use, its own first choice before all others.

    The same directory on the same box always gets the same order.
    """
    candidates = list(POOL.subnets(new_prefix=24))
    start = int(sandbox, 16) % len(candidates)
    in_use = list(taken)
    for network in candidates[start:] + candidates[:start]:
        if not any(network.overlaps(other) for other in in_use):
            yield network


def gateway(network: IPv4Network) -> IPv4Address:
    """Return the box's own address in the sandbox's network."""
    return network[1]
