"""By which address and over which link a machine meets its seat's other machines in a swarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.labkit_machine import source_address

# What the engine itself assumes of a link, and what its overlay networks take off for VXLAN
# (moby, libnetwork/drivers/overlay: maxMTU).
USUAL_MTU = 1500
VXLAN_BYTES = 50


class Link(NamedTuple):
    """A network interface; `driver` is "" for one without hardware."""

    interface: str
    mtu: int
    driver: str


def choose_address(asked: str, listed: str, own: list[str], towards_mates: list[str]) -> str:
    """
    Return the address to advertise, from the most said to the least.

    What the inventory lists is what the seat's names mean and its firewalls let in, so the way to
    the mates has to start there: else the swarm would name one address and send from another.

    Raises:
        ValueError: Several would do, or none; the message names them and the way out.
    """
    if asked:
        return asked
    candidates = sorted(set(towards_mates) - {""})
    if candidates == [listed]:
        return listed
    seen = f"its mates are reached from {', '.join(candidates) or 'no address at all'}"
    raise ValueError(
        f"no clear address to advertise in a swarm: the seat's list says {listed or 'nothing'},"
        f" the machine has {', '.join(own) or 'none'}, and {seen};"
        " set seat_address or swarm_node_advertise_address for this machine"
    )


def advertised(params: dict[str, Any], addresses: dict[str, str], own: list[str]) -> str:
    """
    Return the address to advertise, given the seat's addresses by name.

    Raises:
        ValueError: See choose_address.
    """
    listed = addresses.get(params["own_name"], "")
    mates = [address for name, address in addresses.items() if name != params["own_name"]]
    # A seat of one has no mate to ask the way to: its own address is as good, or the default route.
    if not mates and listed not in own:
        listed = source_address("192.0.2.1")
    towards = [source_address(mate) for mate in mates] or [listed]
    return choose_address(params["advertise_address"], listed, own, towards)


def link_of(interface: str) -> Link:
    """Return what the kernel tells of an interface."""
    folder = Path("/sys/class/net", interface)
    driver = folder / "device" / "driver"
    return Link(
        interface,
        int((folder / "mtu").read_text(encoding="ascii")),
        driver.resolve().name if driver.exists() else "",
    )


def data_link(address: str, advertise: str, listing: list[dict[str, str]]) -> Link:
    """
    Return the link of the data path, given the machine's own addresses with their interfaces.

    Raises:
        ValueError: The address is none of its own.
    """
    interfaces = {each["address"]: each["interface"] for each in listing}
    # Behind a translated address the engine sends from that of the default route.
    sending = source_address("192.0.2.1") if address == advertise else ""
    interface = interfaces.get(address) or interfaces.get(sending)
    if not interface:
        raise ValueError(
            f"no data could leave from {address}: this machine has {', '.join(interfaces)};"
            " correct swarm_node_data_path_address for this machine"
        )
    return link_of(interface)


def overlay_mtu(asked: int, link: Link) -> int:
    """
    Return the MTU that a swarm's overlay networks are to have; asked for 0, by the link.

    Raises:
        ValueError: The link could not carry it.
    """
    most = link.mtu - VXLAN_BYTES
    if asked > most:
        raise ValueError(
            f"an overlay network's MTU of {asked} does not fit: {link.interface} carries"
            f" {link.mtu}, less {VXLAN_BYTES} for VXLAN; lower swarm_node_overlay_mtu to {most}"
        )
    return asked or min(most, USUAL_MTU - VXLAN_BYTES)
