"""Two seats of one class, side by side on one network: neither sees the other's swarm."""

import json
from collections.abc import Iterator

import pytest
from conftest import Room, labkit

pytestmark = pytest.mark.machines

SEATS = {
    "seat01": ("seat01-vm1", "seat01-vm2"),
    "seat02": ("seat02-vm1", "seat02-vm2"),
}
EVERYBODY = [name for machines in SEATS.values() for name in machines]
WEB, ASKS = "nginx:1.30.4-alpine", "alpine:3.23"
# What a swarm needs, and nothing else: it is the seats that are looked at.
INPUTS = {
    "swarm_node_state": "joined",
    "swarm_node_registry": "running",
    "images_pull": [{"reference": name} for name in ("registry:3.1.2", WEB, ASKS)],
    "images_build": [],
    "images_database": "",
    "sample_apps_names": [],
    "verify_ports": [],
}
WITH = ("-e", json.dumps(INPUTS))


@pytest.fixture(scope="module")
def seats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """Two seats whose machines are two swarms already, each with a registry that runs."""
    room = Room(tmp_path_factory.mktemp("seats"))
    made = labkit("sandbox", "up", str(room.directory), "--seats", "2", "--machines-per-seat", "2")
    try:
        assert made.code == 0, made.stderr
        answer = room.labkit("provision", *WITH)
        assert answer.states == dict.fromkeys(EVERYBODY, "ready"), answer.explain()
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


def typed(room: Room, machine: str, line: str) -> str:
    """Return what an attendee gets for a line; it must succeed."""
    done = room.as_attendee(machine, line)
    assert done.returncode == 0, f"{machine}: {line}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def test_a_seats_names_mean_its_own_machines(seats: Room) -> None:
    for machines in SEATS.values():
        for machine in machines:
            for number, mate in enumerate(machines, start=1):
                found = {typed(seats, machine, f"getent hosts vm{number}").split()[0]}
                assert found == {seats.address(mate)}
            others = set(EVERYBODY) - set(machines)
            assert all(seats.as_attendee(machine, f"getent hosts {o}").returncode for o in others)


def test_each_seat_is_a_swarm_of_its_own(seats: Room) -> None:
    clusters = set()
    for machines in SEATS.values():
        nodes = typed(seats, machines[0], "docker node ls --format '{{.Hostname}} {{.Status}}'")
        assert sorted(nodes.splitlines()) == [f"{name} Ready" for name in machines]
        clusters.add(typed(seats, machines[0], "docker info --format '{{.Swarm.Cluster.ID}}'"))

    assert len(clusters) == len(SEATS)


def test_each_seat_has_a_registry_of_its_own_behind_the_same_name(seats: Room) -> None:
    for seat, (first, second) in SEATS.items():
        image = f"vm1:443/{seat}:1"
        typed(seats, first, f"docker tag {WEB} {image} && docker push -q {image}")
        typed(seats, second, f"docker pull -q {image}")

    for seat, (_, second) in SEATS.items():
        other = next(one for one in SEATS if one != seat)
        assert seats.as_attendee(second, f"docker pull -q vm1:443/{other}:1").returncode


def test_networks_and_services_of_the_same_name_stay_apart(seats: Room) -> None:
    """Both seats' overlays have the same number on the wire, and the same addresses."""
    for seat, (first, _) in SEATS.items():
        typed(seats, first, "docker network create -d overlay --attachable front")
        typed(seats, first, f"docker run -d --network front --name web {WEB}")
        page = f"echo {seat} > /usr/share/nginx/html/index.html"
        typed(seats, first, f"docker exec web sh -c '{page}'")

    for seat, (_, second) in SEATS.items():
        ask = f"docker run --rm --network front {ASKS} wget -q -O - http://web/"
        assert {typed(seats, second, ask) for _ in range(5)} == {seat}


def test_both_seats_are_proven_while_their_swarms_run(seats: Room) -> None:
    answer = seats.labkit("verify", *WITH)

    assert answer.states == dict.fromkeys(EVERYBODY, "ready"), answer.explain()
