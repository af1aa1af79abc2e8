"""What this box can reach and do, found out by trying it."""

import os
import socket
import struct
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# The registry API wants a token (401): that is an answer from Docker Hub all the same.
HUB = ("https://registry-1.docker.io/v2/", (200, 401))
DOCKER_REPOSITORY = ("https://download.docker.com/linux/debian/dists/trixie/InRelease", (200,))
SECONDS_TO_ANSWER = 5
STAND_INS_ASKED = "LABKIT_STAND_INS"

EXTRA_AUTHORITIES = Path("/usr/local/share/ca-certificates")
RESOLVER_FILES = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))

# linux/netlink.h and linux/genetlink.h
_NETLINK_GENERIC = 16
_GET_FAMILY, _FAMILY_NAME, _CONTROL, _ERROR, _REQUEST, _ACKNOWLEDGE = 3, 2, 0x10, 2, 1, 4


@dataclass(frozen=True)
class Box:
    """What the sandbox on this box depends on."""

    reaches_hub: bool
    reaches_docker_repository: bool
    has_ipvs: bool


def look() -> Box:
    """Try what the sandbox depends on; takes at most some seconds."""
    with ThreadPoolExecutor() as pool:
        hub = pool.submit(reaches_hub)
        repository = pool.submit(answers, *DOCKER_REPOSITORY)
        return Box(hub.result(), repository.result(), has_ipvs())


def reaches_hub() -> bool:
    """Return whether images come from Docker Hub: it answers, and nobody asks for stand-ins."""
    return not stand_ins_are_asked_for() and answers(*HUB)


def stand_ins_are_asked_for() -> bool:
    """Return whether stand-ins are wanted also where Docker Hub answers, to try them."""
    return os.environ.get(STAND_INS_ASKED, "") not in ("", "0")


def answers(url: str, expected: tuple[int, ...]) -> bool:
    """Return whether the address answers, through the box's proxies, with an expected status."""
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - our two addresses
    try:
        with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as reply:  # noqa: S310
            status = reply.status
    except urllib.error.HTTPError as error:
        status = error.code
    except OSError:
        return False
    return status in expected


def has_ipvs() -> bool:
    """
    Return whether this kernel balances virtual IPs, which the swarm's routing mesh needs.

    Asks for IPVS's own netlink family: built in or a module makes no difference, since the
    question itself makes the kernel load the module (net/netlink/genetlink.c, ctrl_getfamily).
    """
    return kernel_knows("IPVS")


def kernel_knows(family: str) -> bool:
    """Return whether the kernel has, or can load, that family of generic netlink."""
    name = family.encode() + b"\0"
    padding = b"\0" * (-len(name) % 4)
    attribute = struct.pack("=HH", 4 + len(name), _FAMILY_NAME) + name + padding
    body = struct.pack("=BBxx", _GET_FAMILY, 1) + attribute
    header = struct.pack("=IHHII", 16 + len(body), _CONTROL, _REQUEST | _ACKNOWLEDGE, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_GENERIC) as kernel:
            kernel.settimeout(SECONDS_TO_ANSWER)
            kernel.send(header + body)
            reply = kernel.recv(8192)
    except OSError:
        return False
    return int(struct.unpack_from("=H", reply, 4)[0]) != _ERROR


def extra_authorities() -> dict[str, bytes]:
    """Return the certificates of authorities that only this box trusts, by file name."""
    return {
        str(path.relative_to(EXTRA_AUTHORITIES)).replace("/", "-"): path.read_bytes()
        for path in sorted(EXTRA_AUTHORITIES.rglob("*.crt"))
    }


def resolver_settings() -> str:
    """
    Return a resolv.conf that holds anywhere on this box, or nothing if there is none.

    A resolver on the box's loopback is of no use to a machine, and Docker's own embedded one
    (127.0.0.11) of none to a container inside a machine.
    """
    for path in RESOLVER_FILES:
        settings = read_resolver_settings(path.read_text()) if path.is_file() else ""
        if settings:
            return settings
    return ""


def read_resolver_settings(text: str) -> str:
    """Keep a resolv.conf's lines that mean the same on a machine; empty without a resolver."""
    resolvers, domains = [], []
    for line in text.splitlines():
        keyword, _, value = " ".join(line.split()).partition(" ")
        if keyword == "nameserver" and value and not value.startswith(("127.", "::1", "fe80:")):
            resolvers.append(f"{line.strip()}\n")
        elif keyword in ("search", "domain"):
            domains.append(f"{line.strip()}\n")
    return "".join(domains + resolvers) if resolvers else ""
