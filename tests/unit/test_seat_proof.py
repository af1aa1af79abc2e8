"""Probers send each other packets over a wire of our own, and what the wire does is found."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit.classroom import Machine
from labkit.seat.proof import PATIENCE_TO_COME, Proof
from labkit.ssh import Connection

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a network of its own"),
    pytest.mark.skipif(
        not all(map(shutil.which, ("ip", "iptables", "nsenter"))), reason="no tools to make one"
    ),
]

NAMES = ("vm1", "vm2", "vm3")
LISTED = {name: f"198.18.7.{number}" for number, name in enumerate(NAMES, start=1)}
LISTED_6 = {name: f"fd07::{number}" for number, name in enumerate(NAMES, start=1)}
# Goes into the namespace of the host that it is told to, as if it were another machine.
SSH = """#!/bin/sh
shift $(($# - 2))
[ ! -e {folder}/$1.silent ] || exec sleep 60
[ -e {folder}/$1 ] || {{ echo "ssh: connect to host $1: No route to host" >&2; exit 255; }}
exec nsenter --net=$(cat {folder}/$1) sh -c "$2"
"""


@dataclass(frozen=True)
class Wire:
    """Three machines at a switch; each is a network namespace that some process keeps."""

    folder: Path

    def run(self, machine: str, line: str) -> str:
        """Run a line on a machine, or at the switch."""
        place = (self.folder / machine).read_text()
        return subprocess.check_output(["nsenter", f"--net={place}", "sh", "-ec", line], text=True)

    def machine(self, name: str) -> Machine:
        connection = Connection(name, ssh=str(self.folder / "ssh"))
        return Machine(name, "seat01", NAMES.index(name) + 1, connection, {})

    def prove(self, *names: str, listed: Mapping[str, str] = LISTED) -> Proof:
        machines = [self.machine(name) for name in names]
        pairs = {frozenset({one, two}) for one in names for two in names if one != two}
        proof = Proof(machines, pairs, listed, self.folder)
        proof.run()
        return proof

    @contextmanager
    def silent(self, *names: str) -> Iterator[None]:
        """Have machines take a connection, and say nothing."""
        marks = [self.folder / f"{name}.silent" for name in names]
        for mark in marks:
            mark.touch()
        yield
        for mark in marks:
            mark.unlink()

    def probers(self) -> list[Path]:
        """Return the probers that are still there."""
        places = {Path((self.folder / name).read_text()).readlink() for name in NAMES}
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                ours = b"exec(b.read(" in (process / "cmdline").read_bytes()
                found += [process] if ours and (process / "ns/net").readlink() in places else []
        return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    folder = tmp_path_factory.mktemp("wire")
    (folder / "ssh").write_text(SSH.format(folder=folder))
    (folder / "ssh").chmod(0o700)
    keepers = {
        name: subprocess.Popen(["unshare", "--net", "sleep", "300"]) for name in (*NAMES, "switch")
    }
    own = Path("/proc/self/ns/net").readlink()
    for name, keeper in keepers.items():
        place = Path(f"/proc/{keeper.pid}/ns/net")
        while place.readlink() == own:
            time.sleep(0.01)
        (folder / name).write_text(str(place))
    wire = Wire(folder)
    wire.run("switch", "ip link add sw type bridge && ip link set sw up")
    for name in NAMES:
        wire.run(
            "switch",
            f"ip link add {name} type veth peer name eth0 netns {keepers[name].pid}"
            f" && ip link set {name} master sw up",
        )
        for line in (
            f"ip addr add {LISTED[name]}/24 dev eth0",
            f"ip addr add {LISTED_6[name]}/64 dev eth0 nodad",
            "ip link set eth0 up; ip link set lo up",
        ):
            wire.run(name, line)
    yield wire
    for keeper in keepers.values():
        keeper.kill()
        keeper.wait()


@pytest.fixture
def wire(bare: Wire) -> Iterator[Wire]:
    """The wire, without a fault again when the test is over."""
    yield bare
    for name in NAMES:
        bare.run(name, "iptables -F; iptables -t nat -F; ip link set eth0 mtu 1500")
        bare.run("switch", f"ip link set {name} mtu 1500")


def none_left(wire: Wire) -> bool:
    """Tell whether the probers end, which takes them a moment."""
    deadline = time.monotonic() + 3
    while wire.probers() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not wire.probers()


def seen(proof: Proof) -> dict[str, str]:
    """Return what is wrong, by the names of the two machines."""
    wrong = {pair: one.seen for pair, (one, _) in proof.said().items() if one.outcome != "passed"}
    return {" ".join(sorted(pair)): text for pair, text in wrong.items()}


def test_on_a_sound_wire_all_arrives_soon_and_nothing_is_left(wire: Wire) -> None:
    proof = wire.prove(*NAMES)

    assert {one.outcome for pair in proof.said().values() for one in pair} == {"passed"}
    assert [one.detail for pair in proof.said().values() for one in pair if one.detail] == []
    assert proof.seconds < 6, "on a box with nothing else to do it takes one"
    assert none_left(wire)
    labels = set(proof.counts["vm1"].sent["vm2"])
    assert labels == {"2377/tcp", "7946/tcp", "7946/udp", "4789/udp", "1500 bytes", "1450 bytes"}


def test_the_other_kind_of_address_does_as_well(wire: Wire) -> None:
    wire.run("vm1", "ip6tables -A INPUT -p tcp --dport 7946 -j DROP")
    proof = wire.prove("vm1", "vm2", listed=LISTED_6)
    wire.run("vm1", "ip6tables -F")

    assert proof.counts["vm1"].place.address == "fd07::1"
    assert seen(proof) == {"vm1 vm2": "vm2 to vm1, 7946/tcp: 0 of 10 arrived"}


def test_a_port_that_is_closed_one_way_is_found_in_that_direction_only(wire: Wire) -> None:
    wire.run("vm2", f"iptables -A INPUT -p udp --dport 4789 -s {LISTED['vm1']} -j DROP")

    assert seen(wire.prove(*NAMES)) == {"vm1 vm2": "vm1 to vm2, 4789/udp: 0 of 40 arrived"}


def test_a_firewall_that_refuses_is_told_from_a_port_at_which_nobody_listens(wire: Wire) -> None:
    rule = "iptables -A INPUT -p tcp --dport 2377 -j REJECT --reject-with tcp-reset"
    wire.run("vm3", rule)

    assert seen(wire.prove("vm1", "vm3")) == {
        "vm1 vm3": "vm1 to vm3, 2377/tcp: 0 of 10 arrived (Connection refused)"
    }


def test_what_is_not_let_out_says_so(wire: Wire) -> None:
    wire.run("vm1", "iptables -A OUTPUT -p udp --dport 7946 -j DROP")

    assert seen(wire.prove("vm1", "vm2")) == {
        "vm1 vm2": "vm1 to vm2, 7946/udp: 0 of 40 arrived (Operation not permitted)"
    }


def test_an_answer_that_does_not_come_back_is_told(wire: Wire) -> None:
    wire.run("vm1", "iptables -A INPUT -p tcp --sport 7946 -j DROP")

    assert seen(wire.prove("vm1", "vm2")) == {
        "vm1 vm2": "vm1 to vm2, 7946/tcp: 10 of 10 arrived, 0 were answered"
    }


def test_a_port_that_loses_half_is_told_with_how_much(wire: Wire) -> None:
    half = "-m statistic --mode random --probability 0.5"
    wire.run("vm2", f"iptables -A INPUT -p udp --dport 7946 {half} -j DROP")
    found = seen(wire.prove(*NAMES))

    assert found.keys() == {"vm1 vm2", "vm2 vm3"}
    assert "vm3 to vm2, 7946/udp: " in found["vm2 vm3"]
    assert " 0 of 40" not in found["vm2 vm3"]


def test_little_loss_is_a_note(wire: Wire) -> None:
    rare = "-m statistic --mode nth --every 40 --packet 7"
    wire.run("vm2", f"iptables -A INPUT -p udp --dport 7946 {rare} -j DROP")
    result, _ = wire.prove("vm1", "vm2").said()[frozenset({"vm1", "vm2"})]

    assert result.outcome == "passed"
    assert result.detail == "note: vm1 to vm2, 7946/udp: 39 of 40 arrived"


def test_a_link_with_another_mtu_is_held_against_its_machine_alone(wire: Wire) -> None:
    wire.run("vm2", "ip link set eth0 mtu 1400")
    wire.run("switch", "ip link set vm2 mtu 1400")
    first, second = wire.prove(*NAMES).said()[frozenset({"vm1", "vm2"})]

    assert (first.outcome, second.outcome) == ("passed", "failed")
    assert "vm2 send packets of 1400 bytes, those of vm1 1500" in second.seen


def test_a_way_that_is_narrower_than_its_links_is_found(wire: Wire) -> None:
    wire.run("switch", "ip link set vm2 mtu 1460")

    assert seen(wire.prove("vm1", "vm2")) == {
        "vm1 vm2": "vm1 to vm2, 1500 bytes: 0 of 10 arrived; vm2 to vm1, 1500 bytes: 0 of 10 arrived"
    }


def test_who_sends_from_another_address_is_told(wire: Wire) -> None:
    wire.run("vm1", "iptables -t nat -A POSTROUTING -p udp -j SNAT --to-source 198.18.7.99")
    found = seen(wire.prove("vm1", "vm2"))["vm1 vm2"]

    assert (
        found == "vm1 to vm2, 7946/udp, 4789/udp: they come from 198.18.7.99, not from 198.18.7.1"
    )


HOLD = """python3 -c '
import socket, time
for kind, port in ((1, 2377), (1, 7946), (2, 7946), (2, 4789)):
    one = socket.socket(type=kind); one.bind(("", port)); kind == 2 or one.listen(); one.detach()
print("held", flush=True); time.sleep(60)'"""


def test_ports_that_a_swarm_holds_are_proven_all_the_same(wire: Wire) -> None:
    place = (wire.folder / "vm2").read_text()
    with subprocess.Popen(
        ["nsenter", f"--net={place}", "sh", "-c", f"exec {HOLD}"], stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        found = seen(wire.prove("vm1", "vm2"))
        holder.kill()

    assert found == {}


def test_a_machine_that_is_gone_leaves_the_others_to_be_proven(wire: Wire) -> None:
    (wire.folder / "vm2").rename(wire.folder / "hidden")
    proof = wire.prove(*NAMES)
    (wire.folder / "hidden").rename(wire.folder / "vm2")

    assert proof.counts.keys() == {"vm1", "vm3"}
    assert proof.lost["vm2"].away
    assert "No route to host" in str(proof.lost["vm2"])


@pytest.mark.parametrize("silent", [(), ("vm3",)], ids=["all answer", "one says nothing"])
@pytest.mark.parametrize("after", [0.0, 0.4, 0.9])
def test_a_proof_that_is_broken_off_ends_at_once_and_leaves_nothing(
    wire: Wire, after: float, silent: tuple[str, ...]
) -> None:
    machines = [wire.machine(name) for name in NAMES]
    proof = Proof(
        machines, {frozenset({"vm1", "vm2"}), frozenset({"vm3", "vm2"})}, LISTED, wire.folder
    )
    going = threading.Thread(target=proof.run)
    with wire.silent(*silent):
        going.start()
        time.sleep(after)
        proof.stop()
        # Whoever says nothing would be waited for four times as long.
        going.join(PATIENCE_TO_COME / 4)

    assert not going.is_alive()
    assert none_left(wire)
