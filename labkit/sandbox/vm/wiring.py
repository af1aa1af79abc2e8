"""Ports, addresses and the LAN of virtual machines, derived from a directory alone."""

import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from labkit.errors import ControllerError
from labkit.sandbox import plan

LOOPBACK = "127.0.0.1"
# Where QEMU's user-mode network shows a machine the box's loopback, and a resolver.
# https://www.qemu.org/docs/master/system/devices/net.html
BOX = "10.0.2.2"

SSH = 22
# What of each machine is forwarded to the box's loopback.
FORWARDED = (SSH, 80, 443, 3000)

# A sandbox has a thousand ports in a row, below those that kernels hand out by themselves.
_FIRST_PORTS = range(10_000, 32_000, 1_000)
_SPAN = 250


@dataclass(frozen=True)
class Lan:
    """A multicast group on the box's loopback, which is the machines' own LAN."""

    group: str
    port: int


def lan(sandbox: str) -> Lan:
    """Return the sandbox's own LAN: all 32 bits of its name are in it, so two never meet."""
    first, second, third, last = bytes.fromhex(sandbox)
    return Lan(f"239.{first}.{second}.{third}", 47_000 + last)


def mac(sandbox: str, offset: int) -> str:
    """Return the address of a machine's card on the LAN, from QEMU's own range."""
    first, second = bytes.fromhex(sandbox)[:2]
    return f"52:54:00:{first:02x}:{second:02x}:{offset:02x}"


def forwards(first_port: int, offset: int) -> dict[int, int]:
    """
    Return where on the loopback each of a machine's ports is found.

    The number tells what it is: with 14000 as the first, machine .11 has SSH at 14011, port 80
    at 14261, 443 at 14511 and 3000 at 14761.
    """
    return {port: first_port + _SPAN * place + offset for place, port in enumerate(FORWARDED)}


def first_port(
    sandbox: str, machines: Iterable[plan.PlannedMachine], taken: Collection[int]
) -> int:
    """
    Return the first of a thousand ports of which none that the machines need is in use.

    `taken` are those of other sandboxes, whose machines may be off.

    Raises:
        ControllerError: There is none.
    """
    offsets = [machine.offset for machine in machines]
    for first in in_order(sandbox):
        wanted = [port for offset in offsets for port in forwards(first, offset).values()]
        if first not in taken and _are_free(wanted):
            return first
    raise ControllerError(
        f"No thousand ports in a row are free at {LOOPBACK} from {_FIRST_PORTS.start} on.",
        hint="`labkit sandbox down DIRECTORY` takes away a sandbox that nobody needs any more.",
    )


def in_order(sandbox: str) -> Iterator[int]:
    """Yield the first ports that there are, the sandbox's own first choice before all others."""
    start = int(sandbox, 16) % len(_FIRST_PORTS)
    yield from _FIRST_PORTS[start:]
    yield from _FIRST_PORTS[:start]


def _are_free(ports: Iterable[int]) -> bool:
    with ExitStack() as held:
        for port in ports:
            probe = held.enter_context(socket.socket())
            # As QEMU asks: what is left of an old connection is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                return False
    return True
