"""Kernel features that Docker and its swarm need, found by trying each one."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET = 0x40000000
NETLINK_NETFILTER = 12
NETLINK_GENERIC = 16
NLMSG_ERROR = 2
REQUEST_WITH_ANSWER = 0x1 | 0x4

# A link is made in a network namespace of its own, which ends with the
# command: nothing of the machine is touched. Trying also makes the kernel load
# the module, as Docker's own attempt would; a built-in feature simply works.
_LINKS = {
    "bridge": ("type", "bridge"),
    "veth": ("type", "veth", "peer", "name", "labkit1"),
    "vxlan": ("type", "vxlan", "id", "4242", "dstport", "4789"),
}


def try_features(data_root: str = "/var/lib/docker") -> dict[str, str]:
    """
    Return what each feature answered when it was tried as root: "" where it works.

    The features are overlay, bridge, veth, vxlan, iptables and ipvs.
    """
    answers = {"overlay": _try_overlay(_nearest(Path(data_root)))}
    for name, kind in _LINKS.items():
        answers[name] = _answer("unshare", "--net", "ip", "link", "add", "labkit0", *kind)
    answers["iptables"] = _try_iptables()
    answers["ipvs"] = _in_own_network(_try_ipvs)
    return answers


def _nearest(folder: Path) -> Path:
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _answer(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr or done.stdout).strip() or f"{command[0]} ended with {done.returncode}"


def _try_overlay(folder: Path) -> str:
    # On the file system that will hold the images: overlay on overlay or on
    # some network file systems is refused although the feature is there.
    try:
        place = Path(tempfile.mkdtemp(prefix=".labkit-", dir=folder))
    except OSError as error:
        return str(error)
    try:
        for part in ("lower", "upper", "work", "merged"):
            (place / part).mkdir()
        options = f"lowerdir={place}/lower,upperdir={place}/upper,workdir={place}/work"
        return _answer(
            *("unshare", "--mount", "--propagation", "private"),
            *("mount", "-t", "overlay", "overlay", "-o", options, str(place / "merged")),
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _try_iptables() -> str:
    if shutil.which("iptables") is None:
        # The command comes with the engine; the kernel's half can be asked now.
        return _in_own_network(_try_nf_tables)
    rule = ("-A", "POSTROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "MASQUERADE")
    return _answer("unshare", "--net", "iptables", "--wait", "--table", "nat", *rule)


def _in_own_network(trial: Callable[[], None]) -> str:
    """Run the trial in a thread with a network namespace of its own, gone with the thread."""
    answers: list[str] = []

    def run() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET):
            answers.append(os.strerror(ctypes.get_errno()))
            return
        try:
            trial()
            answers.append("")
        except OSError as error:
            answers.append(error.strerror or str(error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answers[0] if answers else "the trial broke off"


def _try_nf_tables() -> None:
    get_generation = 10 << 8 | 16  # linux/netfilter/nf_tables.h: NFT_MSG_GETGEN
    _ask(NETLINK_NETFILTER, get_generation, struct.pack("=BBH", 0, 0, 0))


def _try_ipvs() -> None:
    """
    Make a virtual service as dockerd does for the routing mesh: by firewall mark, round robin.

    The numbers are from linux/genetlink.h and linux/ip_vs.h. Asking for a
    family by name makes the kernel load the module that has it.
    """
    name = _attribute(2, b"IPVS\0")
    try:
        answer = _ask(NETLINK_GENERIC, 16, struct.pack("=BBH", 3, 1, 0) + name)
    except FileNotFoundError:
        raise OSError("the kernel has neither ip_vs built in nor as a module") from None
    family = _read_attribute(answer[20:], 1)
    service = b"".join(
        [
            _attribute(1, struct.pack("=H", socket.AF_INET)),
            _attribute(5, struct.pack("=I", 4242)),
            _attribute(6, b"rr\0"),
            _attribute(7, struct.pack("=II", 0, 0xFFFFFFFF)),
            _attribute(8, struct.pack("=I", 0)),
            _attribute(9, struct.pack("=I", 0xFFFFFFFF)),
        ]
    )
    nested = _attribute(1 | 0x8000, service)
    _ask(NETLINK_GENERIC, family, struct.pack("=BBH", 1, 1, 0) + nested)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", len(value) + 4, kind) + value + padding


def _read_attribute(attributes: bytes, wanted: int) -> int:
    while attributes[4:6]:
        length, kind, value = struct.unpack_from("=HHH", attributes)
        if kind == wanted:
            return int(value)
        attributes = attributes[max(4, length + -length % 4) :]
    raise OSError("the kernel's answer lacks the family's number")


def _ask(protocol: int, kind: int, payload: bytes) -> bytes:
    """Send one netlink request and return the answer; an error in it is raised as OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as link:
        link.settimeout(10)
        link.send(
            struct.pack("=IHHII", 16 + len(payload), kind, REQUEST_WITH_ANSWER, 1, 0) + payload
        )
        answer = link.recv(65536)
    number = -struct.unpack_from("=i", answer, 16)[0]
    if struct.unpack_from("=H", answer, 4)[0] == NLMSG_ERROR and number:
        raise OSError(number, os.strerror(number))
    return answer
