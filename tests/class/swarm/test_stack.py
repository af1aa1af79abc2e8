"""The to-do app on a swarm of virtual machines: the mesh, a machine that dies and comes back."""

import json
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress

import pytest
from conftest import Answer

from .conftest import SEAT, Virtual

pytestmark = pytest.mark.machines

VM1, VM2 = SEAT
STATES = dict.fromkeys(SEAT, "ready")
START_REGISTRY = (
    "docker run -d --name registry --restart unless-stopped -p 443:443 -v ~/registry:/certs:ro"
    " -v registry:/var/lib/registry -e REGISTRY_HTTP_ADDR=0.0.0.0:443"
    " -e REGISTRY_HTTP_TLS_CERTIFICATE=/certs/registry.crt"
    " -e REGISTRY_HTTP_TLS_KEY=/certs/registry.key"
)
REPLICAS = 4
# Beside port 3000 of the one machine that runs it: port 80 of every machine, by the mesh. Each
# look at a container's health starts a program in it: emulated machines do little else if it is
# every five seconds, for six of them. Nor does an emulated database answer within two seconds.
MESH = (
    "{services: {lb: {ports: [{target: 80, published: 80, mode: ingress}]},"
    f" app: {{deploy: {{replicas: {REPLICAS}}}, healthcheck: {{interval: 30s, timeout: 30s}},"
    " environment: {DATABASE_TIMEOUT: 30000}}}}"
)
LONGEST = 600
# An emulated database has much to do for one write.
PATIENCE = 60
TEXT = "outlives its machine"


class Swarm:
    """What an attendee does with the seat's swarm, and sees of it."""

    def __init__(self, seat: Virtual) -> None:
        self.seat = seat
        self.ports = {name: seat.port(name, 80) for name in SEAT}

    def type(self, machine: str, line: str) -> str:
        """Type a line as the attendee of a machine."""
        done = self.seat.as_attendee(machine, line)
        assert done.returncode == 0, f"{machine}: {line}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def page(self, machine: str, path: str, body: dict | None = None) -> str:
        """Ask a machine's port 80, from this box; raises OSError where no good answer comes."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[machine]}{path}",
            data=json.dumps(body).encode() if body else None,
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return str(answer.read().decode())

    def answers(self, *machines: str) -> bool:
        """Tell whether each of these machines' ports answers."""
        with suppress(OSError):
            return all(self.page(name, "/meta") for name in machines)
        return False

    def seen(self, line: str) -> list[str]:
        """Return the manager's answer; none while it is too busy, as an emulated one may be."""
        return self.seat.as_attendee(VM1, line).stdout.splitlines()

    def replicas(self) -> list[str]:
        return self.seen("docker service ls --filter name=todo_app --format '{{.Replicas}}'")

    def status(self, node: str) -> str:
        """Return what the manager takes a node for."""
        rows = self.seen("docker node ls --format '{{.Hostname}} {{.Status}}'")
        return dict(row.split() for row in rows).get(node, "")

    def places(self) -> list[str]:
        """Return the nodes on which the app's tasks run."""
        look = (
            "docker service ps todo_app --filter desired-state=running"
            " --format '{{.Node}} {{.CurrentState}}'"
        )
        rows = (row.split(maxsplit=2) for row in self.seen(look))
        return [node for node, state, _ in rows if state == "Running"]


def until(true: Callable[[], bool], what: str) -> float:
    """Wait until something is so, and return the seconds that it took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < LONGEST, what
        time.sleep(0.5)
    return time.monotonic() - began


def told(what: str, seconds: float) -> None:
    print(f"\n{what}: {seconds:.0f} s")  # noqa: T201 - told, with -s


def test_a_seat_of_virtual_machines_becomes_ready(first_provision: Answer) -> None:
    told("provision of the virtual machines, with its checks", first_provision.seconds)

    assert first_provision.states == STATES, first_provision.explain()


def test_a_clock_that_is_off_by_an_hour_is_named(seat: Virtual) -> None:
    seat.as_root(VM2, "date --set '+1 hour'")
    try:
        answer = seat.labkit("verify", "--limit", VM2)
    finally:
        seat.as_root(VM2, "date --set '-1 hour'")

    assert answer.states == {VM2: "not ready"}, answer.explain()
    assert "clock" in answer.reasons(VM2)


@pytest.fixture(scope="module")
def swarm(seat: Virtual) -> Swarm:
    """The seat's swarm with the to-do app's stack, made as the chapter makes it; it is left there."""
    swarm = Swarm(seat)
    image = swarm.type(VM1, "docker image ls --format '{{.Repository}}:{{.Tag}}' registry")
    swarm.type(VM1, f"{START_REGISTRY} {image}")
    until(lambda: "200" in listed(swarm), "the registry answers")
    began = time.monotonic()
    swarm.type(VM1, "docker push --quiet vm1:443/todo:1.0")
    told("the image pushed to the seat's registry", time.monotonic() - began)
    swarm.type(VM2, "docker rmi vm1:443/todo:1.0 todo:1.0")
    address = seat.seat_address(VM1)
    swarm.type(VM1, f"docker swarm init --advertise-addr {address}")
    token = swarm.type(VM1, "docker swarm join-token --quiet worker")
    swarm.type(VM2, f"docker swarm join --token {token} vm1:2377")
    swarm.type(VM1, f"docker node update --label-add zone=dmz --label-add type=storage {VM1}")
    deploy = f"echo '{MESH}' > mesh.yml && docker stack deploy --detach -c"
    began = time.monotonic()
    swarm.type(VM1, f"{deploy} ~/todo/docker-compose-swarm.yml -c mesh.yml todo")
    until(lambda: swarm.replicas() == [f"{REPLICAS}/{REPLICAS}"], "all replicas")
    until(lambda: swarm.answers(*SEAT), "the mesh answers")
    told("the stack, from its order to an answer at each node", time.monotonic() - began)
    return swarm


def listed(swarm: Swarm) -> str:
    """Return the registry's status, by a connection that trusts the class's authority alone."""
    ask = "curl -s -o /dev/null -w '%{http_code}' --cacert ~/registry/ca.crt https://vm1:443/v2/"
    return swarm.seat.as_attendee(VM2, ask).stdout


def test_every_node_answers_for_the_service_through_the_mesh(swarm: Swarm) -> None:
    assert sorted(set(swarm.places())) == sorted(SEAT)
    tasks = set()
    for _ in range(40):
        tasks |= {json.loads(swarm.page(name, "/meta"))["hostname"] for name in SEAT}

    assert len(tasks) == REPLICAS
    for machine in SEAT:
        for mate in SEAT:
            address = swarm.seat.seat_address(mate)
            swarm.type(machine, f"curl -sf -m 10 http://{address}/meta")


def test_what_a_node_that_dies_ran_goes_on_elsewhere_and_it_comes_back(swarm: Swarm) -> None:
    swarm.page(VM1, "/todos", {"text": TEXT})
    swarm.seat.cut_power(VM2)
    seconds = until(lambda: swarm.status(VM2) == "Down", "the manager misses the node")
    told("a node dies: the manager says that it is down", seconds)
    seconds += until(lambda: swarm.places() == [VM1] * REPLICAS, "its tasks are replaced")
    seconds += until(lambda: all(swarm.answers(VM1) for _ in range(12)), "no request is lost")
    told("a node dies: all tasks are back, and every request is answered", seconds)

    assert TEXT in swarm.page(VM1, "/todos"), "the app has moved, its data has not"

    began = time.monotonic()
    swarm.seat.up(machines=len(SEAT))
    until(lambda: swarm.status(VM2) == "Ready", "the node comes back by itself")
    until(lambda: swarm.answers(*SEAT), "its port of the mesh answers again")
    told("the node's power is back: it is ready, and its port answers", time.monotonic() - began)
