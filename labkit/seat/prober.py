"""
A machine's part in the proof of its seat: it sends numbered packets, and counts its mates'.

labkit sends this one file over ssh, and root runs it: Python's own library only, from 3.10 on. It
listens with raw sockets, which the kernel serves behind the firewall: so it takes no port from
anybody, and one that a swarm holds is proven like a free one. It ends with its input.
"""

import ctypes
import errno
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Where the role swarm_node says how this machine takes part in a swarm.
KEPT = Path("/etc/labkit/swarm.json")
TCP_PORTS, GOSSIP = (2377, 7946), 7946
# So many packets go to each port, within so many seconds; each fourth is joined by connections
# and by packets of full size.
COUNT, PACE, SELDOM = 40, 0.8, 4
# A SYN that was lost is sent again after a second: who waits less counts the first ones only.
PATIENCE = 0.7
# The longest that it may live, whatever happens.
LIMIT = 60
# What an overlay network takes off for VXLAN, and the biggest that labkit's role makes one for.
VXLAN, USUAL = 50, 1500
HEADERS = {socket.AF_INET: 28, socket.AF_INET6: 48}
SYN, SYN_OR_ACK = 0x02, 0x12
# Linux' own numbers, which Python's socket module lacks.
SO_ATTACH_FILTER, SO_RCVBUFFORCE = 26, 33
MTU_DISCOVER = {
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
PROBE = 3


def main() -> None:
    """Say how this machine stands, begin when told to, say what was sent, and what has arrived."""
    signal.alarm(LIMIT)
    try:
        task = hear()
        kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        place = stand(task, kept, links())
        inbox = Inbox(place, task["nonce"])
        say(place)
        say({"sent": Sender(task, place, inbox).send(hear()["mates"])})
        inbox.selector.register(0, selectors.EVENT_READ)
        while not inbox.read(None):
            pass
        hear()
        inbox.read(0)
        say(inbox.found())
    except (OSError, ValueError) as error:
        say({"error": str(error)})


def say(message: Mapping[str, Any]) -> None:
    """Tell labkit one thing."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def hear() -> dict[str, Any]:
    """Return what labkit says next; end if it is not there any more."""
    line = sys.stdin.buffer.readline()
    if not line:
        sys.exit()
    heard: dict[str, Any] = json.loads(line)
    return heard


def links() -> dict[str, int]:
    """Return this machine's addresses, and the MTU of the link that each is on."""
    done = subprocess.run(
        ["ip", "-json", "address", "show"], capture_output=True, text=True, check=True
    )
    return {
        one["local"]: int(link["mtu"])
        for link in json.loads(done.stdout)
        for one in link.get("addr_info", ())
        if "local" in one
    }


def stand(
    task: Mapping[str, Any], kept: Mapping[str, Any], own: Mapping[str, int]
) -> dict[str, Any]:
    """
    Return by which addresses, port and sizes this machine takes part in a swarm.

    `from` and `data_from` are what it sends from: behind a translated address, another one.
    """
    address = str(kept.get("address") or task["asked"] or clear(task, own))
    data_path = str(kept.get("data_path_address") or address)
    data_from = data_path if data_path in own else source(task["towards"])
    mtu = own[data_from]
    return {
        "address": address,
        "from": address if address in own else source(task["towards"]),
        "data_path": data_path,
        "data_from": data_from,
        "port": int(kept.get("data_path_port") or task["port"]),
        "mtu": mtu,
        "needs": int(kept.get("overlay_mtu") or min(mtu, USUAL) - VXLAN) + VXLAN,
    }


def clear(task: Mapping[str, Any], own: Mapping[str, int]) -> str:
    """Return the address that the seat's list has for this machine, or that leads to a mate."""
    listed = str(socket.getaddrinfo(task["listed"], None)[0][4][0])
    return listed if listed in own else source(task["towards"])


def source(towards: str) -> str:
    """Return the address of this machine from which it reaches another one."""
    kind, _, _, _, place = socket.getaddrinfo(towards, 9, type=socket.SOCK_DGRAM)[0]
    with socket.socket(kind, socket.SOCK_DGRAM) as probe:
        probe.connect(place)
        return str(probe.getsockname()[0])


def family(address: str) -> socket.AddressFamily:
    """Return which kind of address it is."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Inbox:
    """All that arrives for the swarm's ports, from now on, whoever else it is delivered to."""

    def __init__(self, place: Mapping[str, Any], nonce: str) -> None:
        self._nonce = nonce
        self._numbers: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        self._opened: set[tuple[str, str, int]] = set()
        self.selector = selectors.DefaultSelector()
        self._listen(place["address"], socket.IPPROTO_UDP, {GOSSIP, place["port"]})
        self._listen(place["address"], socket.IPPROTO_TCP, TCP_PORTS)

    def read(self, seconds: float | None) -> list[selectors.SelectorKey]:
        """Take in what arrives, once something does; return what else has happened."""
        others = []
        for key, _ in self.selector.select(seconds):
            if isinstance(key.fileobj, socket.socket) and key.fileobj.type == socket.SOCK_RAW:
                self._drain(key.fileobj)
            else:
                others.append(key)
        return others

    def found(self) -> dict[str, Any]:
        """Return how many datagrams came, and where connections came from."""
        arrived = [[*which, len(numbers)] for which, numbers in self._numbers.items()]
        return {"arrived": sorted(arrived), "opened": sorted(self._opened)}

    def _listen(self, address: str, protocol: int, ports: Iterable[int]) -> None:
        raw = socket.socket(family(address), socket.SOCK_RAW, protocol)
        only(raw, sorted(ports))
        raw.setblocking(False)  # noqa: FBT003 - Python's own signature
        self.selector.register(raw, selectors.EVENT_READ)

    def _drain(self, raw: socket.socket) -> None:
        take = self._datagram if raw.proto == socket.IPPROTO_UDP else self._segment
        with suppress(BlockingIOError):
            while True:
                data, came_from = raw.recvfrom(1 << 16)
                # Of IPv6 a raw socket shows no header.
                header = 4 * (data[0] & 15) if raw.family == socket.AF_INET else 0
                take(data[header:], str(came_from[0]))

    def _datagram(self, packet: bytes, came_from: str) -> None:
        words = packet[8:].strip(b"\0").decode(errors="replace").split("\t")
        if words[0] == self._nonce:
            _, mate, label, number = words
            self._numbers[mate, label, came_from].add(number)

    def _segment(self, packet: bytes, came_from: str) -> None:
        port_there, port = struct.unpack("!HH", packet[:4])
        if packet[13] & SYN_OR_ACK == SYN:
            self._opened.add((f"{port}/tcp", came_from, port_there))


def only(raw: socket.socket, ports: list[int]) -> None:
    """
    Have a raw socket take in what goes to these ports, lest all else fill it.

    The filter is written as https://docs.kernel.org/networking/filter.html has it.
    """
    # x = the length of the header before the ports; a = the second of them.
    program = [(0xB1, 0, 0, 0) if raw.family == socket.AF_INET else (0x01, 0, 0, 0)]
    program += [(0x48, 0, 0, 2)]
    program += [(0x15, len(ports) - at, 0, port) for at, port in enumerate(ports)]
    program += [(0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFF)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    pointer = struct.pack("HL", len(program), ctypes.addressof(code))
    raw.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
    raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 20)


class Sender:
    """Sends this machine's packets, from the addresses that a swarm would send them from."""

    def __init__(self, task: Mapping[str, Any], place: Mapping[str, Any], inbox: Inbox) -> None:
        self._words = (task["nonce"], task["name"])
        self._from = place["from"]
        self._gossip, self._data = datagrams(place["from"]), datagrams(place["data_from"])
        self._inbox = inbox
        self._unanswered: set[socket.socket] = set()
        self._sent: dict[str, dict[str, dict[str, Any]]] = {}

    def send(self, mates: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what went to which mate, and what came of it here, when all is sent."""
        began = time.monotonic()
        for number in range(COUNT):
            for name, mate in mates.items():
                self._send(name, mate, number)
            slot = began + PACE * (number + 1) / COUNT
            while (left := slot - time.monotonic()) > 0:
                self._take_answers(left)
        end = time.monotonic() + PATIENCE
        while self._unanswered and (left := end - time.monotonic()) > 0:
            self._take_answers(left)
        for connection in tuple(self._unanswered):
            self._close(connection)
        return self._sent

    def _send(self, name: str, mate: Mapping[str, Any], number: int) -> None:
        gossip = (self._gossip, (mate["address"], GOSSIP))
        data = (self._data, (mate["data_path"], mate["port"]))
        self._datagram(self._note(name, f"{GOSSIP}/udp"), number, gossip)
        self._datagram(self._note(name, f"{mate['port']}/udp"), number, data)
        if number % SELDOM == 0:
            for size in mate["sizes"]:
                self._datagram(self._note(name, f"{size} bytes"), number, data, size)
            for port in TCP_PORTS:
                self._connect(self._note(name, f"{port}/tcp"), (mate["address"], port))

    def _note(self, name: str, label: str) -> dict[str, Any]:
        empty = {"label": label, "sent": 0, "answered": 0, "ports": [], "error": ""}
        note: dict[str, Any] = self._sent.setdefault(name, {}).setdefault(label, empty)
        note["sent"] += 1
        return note

    def _datagram(
        self,
        note: dict[str, Any],
        number: int,
        route: tuple[socket.socket, tuple[str, int]],
        size: int = 0,
    ) -> None:
        way, to = route
        # It begins with a 0, for which the kernel's vxlan drops it without a word.
        text = "\0" + "\t".join((*self._words, note["label"], str(number)))
        try:
            way.sendto(text.encode().ljust(size - HEADERS[way.family], b"\0"), to)
        except OSError as error:
            note["error"] = error.strerror

    def _connect(self, note: dict[str, Any], to: tuple[str, int]) -> None:
        connection = socket.socket(family(to[0]), socket.SOCK_STREAM)
        connection.setblocking(False)  # noqa: FBT003 - Python's own signature
        connection.bind((self._from, 0))
        note["ports"].append(connection.getsockname()[1])
        code = connection.connect_ex(to)
        self._unanswered.add(connection)
        self._inbox.selector.register(connection, selectors.EVENT_WRITE, note)
        if code != errno.EINPROGRESS:
            self._take_answer(connection, note, code)

    def _take_answers(self, seconds: float) -> None:
        for key in self._inbox.read(seconds):
            connection: Any = key.fileobj
            code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._take_answer(connection, key.data, code)

    def _take_answer(self, connection: socket.socket, note: dict[str, Any], code: int) -> None:
        # Before a swarm is made nobody listens there: a refusal has come through as well.
        note["answered"] += code in {0, errno.ECONNREFUSED}
        note["error"] = os.strerror(code) if code else note["error"]
        self._close(connection)

    def _close(self, connection: socket.socket) -> None:
        self._unanswered.discard(connection)
        self._inbox.selector.unregister(connection)
        connection.close()


def datagrams(address: str) -> socket.socket:
    """Return a socket that sends from there, and nothing in fragments."""
    way = socket.socket(family(address), socket.SOCK_DGRAM)
    level, option = MTU_DISCOVER[way.family]
    # Up to what the link takes, whatever is known of the way.
    way.setsockopt(level, option, PROBE)
    way.bind((address, 0))
    return way


if __name__ == "__main__":
    main()
