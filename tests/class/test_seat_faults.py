"""Faults between the machines of a seat, each found and held against the right machines alone."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from conftest import MACHINES, Answer, Room, docker

pytestmark = pytest.mark.machines

VM1, VM2, VM3 = MACHINES
ALL_READY = dict.fromkeys(MACHINES, "ready")
HALF = "-m statistic --mode random --probability 0.5"
LIVE_RESTORE = (
    'import json; p = "/etc/docker/daemon.json"; s = json.load(open(p)); s["live-restore"] = True;'
    ' json.dump(s, open(p, "w"))'
)


@contextmanager
def fault(room: Room, machine: str, put: str, take: str) -> Iterator[None]:
    """Put a fault on a machine by a line of sh, and take it off by another one."""
    room.as_root(machine, put)
    try:
        yield
    finally:
        room.as_root(machine, take)


def dropped(room: Room, sender: str, port: int, how: str = "") -> tuple[str, str]:
    """Return what makes a machine drop a sender's datagrams, and what makes it take them again."""
    rule = f"INPUT -p udp --dport {port} -s {room.address(sender)} {how} -j DROP"
    return f"iptables -w -I {rule}", f"iptables -w -D {rule}"


def only(answer: Answer, *machines: str) -> bool:
    """Tell whether these machines, and no others, are not ready; the run is shown if not."""
    assert answer.states == {**ALL_READY, **dict.fromkeys(machines, "not ready")}, answer.explain()
    assert all(one["todo"] for name in machines for one in answer.verdicts[name]["reasons"])
    return True


def test_a_sound_seat_is_proven_pair_by_pair(room: Room, tmp_path: Path) -> None:
    answer = room.labkit("verify", "--junit", str(tmp_path / "junit.xml"))

    assert answer.states == ALL_READY, answer.explain()
    cases = ET.parse(tmp_path / "junit.xml").getroot().iter("testcase")
    proven = {(one.get("classname"), one.get("name")) for one in cases if not len(one)}
    for name in MACHINES:
        for mate in set(MACHINES) - {name}:
            assert (name, f"a swarm's packets pass to and from: {mate}") in proven
        assert not [note for note in answer.verdicts[name]["notes"] if "not proven" in note]
        assert not room.as_root(name, "pgrep -f [b].readline || true")


def test_what_is_outside_the_limit_is_not_touched_and_that_is_said(room: Room) -> None:
    answer = room.labkit("verify", "--limit", f"{VM1},{VM2}")

    assert answer.states == {VM1: "ready", VM2: "ready"}, answer.explain()
    for name in (VM1, VM2):
        assert [note for note in answer.verdicts[name]["notes"] if "not proven" in note] == [
            f"not proven that it and {VM3} reach each other: {VM3} is not in this run"
        ]


def test_a_port_that_is_blocked_one_way_is_found_at_both_ends(room: Room) -> None:
    with fault(room, VM2, *dropped(room, VM1, 4789)):
        answer = room.labkit("verify")

    assert only(answer, VM1, VM2)
    for name in (VM1, VM2):
        assert f"{VM1} to {VM2}, 4789/udp: 0 of 40 arrived" in answer.reasons(name)
        assert f"{VM2} to {VM1}" not in answer.reasons(name)


def test_a_port_that_loses_half_its_packets_is_found_with_how_many(room: Room) -> None:
    with fault(room, VM3, *dropped(room, VM2, 7946, HALF)):
        answer = room.labkit("verify")

    assert only(answer, VM2, VM3)
    assert f"{VM2} to {VM3}, 7946/udp: " in answer.reasons(VM3)
    assert " of 40 arrived" in answer.reasons(VM2)
    assert " 0 of 40" not in answer.reasons(VM2)


def test_a_link_with_another_mtu_is_its_machines_alone(room: Room) -> None:
    with fault(room, VM2, "ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500"):
        answer = room.labkit("verify")

    assert only(answer, VM2)
    assert "its link takes 1400" in answer.reasons(VM2)


def test_two_cards_with_an_address_that_is_not_clear_are_named(room: Room) -> None:
    network, container = "labkit-test-second", room.container(VM1)
    docker("network", "create", "--label", "labkit.check", network)
    docker("network", "connect", network, container)
    try:
        second = docker(
            *("inspect", "--format"),
            f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}',
            container,
        ).strip()
        way = f"{room.address(VM2)} dev eth0"
        with fault(room, VM1, f"ip route add {way} src {second}", f"ip route del {way}"):
            answer = room.labkit("verify")
    finally:
        docker("network", "disconnect", "--force", network, container)
        docker("network", "rm", network)

    assert only(answer, VM1)
    assert f"{VM2} is reached from {second}" in answer.reasons(VM1)
    assert room.address(VM1) in answer.reasons(VM1)


def test_equal_engine_ids_are_named_on_both(room: Room) -> None:
    file = "/var/lib/docker/engine-id"
    same = room.as_root(VM1, f"cat {file}")
    put = f"cp -p {file} /root/engine-id && printf %s {same} > {file}"
    with fault(room, VM3, put, f"mv /root/engine-id {file}"):
        answer = room.labkit("verify")

    assert only(answer, VM1, VM3)
    assert f"its engine id {same} is also that of {VM3}" in answer.reasons(VM1)
    assert f"its engine id {same} is also that of {VM1}" in answer.reasons(VM3)


def test_an_engine_that_would_refuse_a_swarm_is_named(room: Room) -> None:
    file, again = "/etc/docker/daemon.json", "systemctl reload docker"
    program = LIVE_RESTORE.replace('"', '\\"')
    put = f'cp -p {file} /root/ && python3 -c "{program}" && {again}'
    with fault(room, VM2, put, f"mv /root/daemon.json {file} && {again}"):
        answer = room.labkit("verify")

    assert only(answer, VM2)
    assert "live-restore on" in answer.reasons(VM2)


def test_a_node_that_does_not_trust_the_seats_registry_is_named(room: Room) -> None:
    folder = "/etc/docker/certs.d"
    with fault(room, VM3, f"mv {folder} /root/", f"mv /root/certs.d {folder}"):
        answer = room.labkit("verify")

    assert only(answer, VM3)
    assert f"{folder}/vm1:443/ca.crt" in answer.reasons(VM3)


def test_a_seat_that_is_a_swarm_is_proven_beside_it(room: Room) -> None:
    address = room.address(VM1)
    room.as_root(VM1, f"docker swarm init --advertise-addr {address}")
    token = room.as_root(VM1, "docker swarm join-token --quiet worker").strip()
    try:
        room.as_root(VM2, f"docker swarm join --token {token} {address}:2377")
        with fault(room, VM2, *dropped(room, VM1, 4789)):
            answer = room.labkit("verify")
    finally:
        for name in (VM2, VM1):
            room.as_root(
                name, "docker swarm leave --force; docker network rm docker_gwbridge || true"
            )

    assert only(answer, VM1, VM2)
    [reason] = answer.verdicts[VM2]["reasons"]
    assert reason["answer"].endswith(f"saw {VM1} to {VM2}, 4789/udp: 0 of 40 arrived")
