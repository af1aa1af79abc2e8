"""What the checks of a seat's swarm and registry decide, from what machines say."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.checks import test_registry as registry
from labkit.checks import test_swarm as swarm
from labkit.checks.machine import Machine, Mate
from labkit.checks.promise import Unkept
from labkit.ssh import Connection

SEAT = [
    Mate("one", "192.0.2.11", 1, "one", {"zone": "dmz"}),
    Mate("two", "192.0.2.12", 2, "two", {}),
]
ONE = Machine("one", "a", 1, SEAT, Connection("h"), Path("/nowhere"), {})
CHOSEN = {
    "address": "192.0.2.11",
    "data_path_address": "192.0.2.11",
    "data_path_port": 4789,
    "overlay_mtu": 1450,
}
Answers = dict[str, Any]


class Result:
    def __init__(self, stdout: str | None) -> None:
        self.succeeded, self.failed = stdout is not None, stdout is None
        self.stdout, self.stderr = stdout or "", "no such thing" if self.failed else ""


class Says:
    """A machine that answers by what a command begins with; anything else fails."""

    def __init__(self, answers: Answers) -> None:
        usual = {f"cat {swarm.CHOSEN}": CHOSEN, "getent ahosts": lambda line: line.split()[-1]}
        self._answers = {**usual, **answers}

    def run(self, command: str, *given: str) -> Result:
        line = command % given if given else command
        for begin, answer in self._answers.items():
            if line.startswith(begin):
                said = answer(line) if callable(answer) else answer
                return Result(said if isinstance(said, str) else json.dumps(said))
        return Result(None)

    def check_output(self, command: str, *given: str) -> str:
        return self.run(command, *given).stdout


def machine(number: int = 1, authority: str | None = None, **inputs: Any) -> Machine:
    name = SEAT[number - 1].name
    return replace(ONE, name=name, number=number, inputs=inputs, authority=authority)


def seen(check: Callable[..., None], answers: Answers, *given: Any) -> str:
    """Return what a check saw instead of what it expects, "" where the promise is kept."""
    try:
        check(Says(answers), *given)
    except Unkept as error:
        return error.seen
    return ""


def route(source: str) -> Answers:
    return {
        "ip -o address": "2: eth0 inet 192.0.2.11/24\n3: eth1 inet 10.0.0.11/24",
        "ip -json route get": [{"prefsrc": source}],
    }


def test_an_address_from_which_nothing_is_sent_is_unclear() -> None:
    check = swarm.test_the_swarms_address_is_clear

    assert seen(check, route("192.0.2.11"), machine()) == ""
    assert seen(check, route("10.0.0.11"), machine()) == "two is reached from 10.0.0.11"
    asked = machine(swarm_node_advertise_address="192.0.2.11")
    assert seen(check, route("10.0.0.11"), asked) == ""


def test_a_machine_without_what_was_chosen_is_to_be_provisioned() -> None:
    with pytest.raises(Unkept, match="--tags swarm_node"):
        swarm.test_the_swarms_address_is_clear(
            Says({f"cat {swarm.CHOSEN}": "gone"}),  # type: ignore[arg-type]
            machine(),
        )


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"LiveRestoreEnabled": False}, ""),
        ({"LiveRestoreEnabled": True}, "live-restore on"),
        ({"FirewallBackend": {"Driver": "nftables"}}, "firewall-backend nftables"),
        ({"FirewallBackend": {"Driver": "iptables"}}, ""),
    ],
)
def test_settings_that_swarm_refuses_are_named(info: Answers, said: str) -> None:
    found = seen(swarm.test_the_engine_allows_a_swarm, {"docker info": info}, machine())

    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("mtu", "told", "kept"), [(1500, "", True), (1400, "", False), (1500, "1400", False)]
)
def test_packets_of_overlay_networks_have_to_fit_and_the_engine_to_know(
    mtu: int, told: str, *, kept: bool
) -> None:
    link = {"ifname": "eth0", "mtu": mtu, "addr_info": [{"local": "192.0.2.11"}]}
    answers = {"ip -json address": [link], "python3 -c": told}
    found = seen(swarm.test_overlay_networks_fit_the_link, answers, machine())

    assert (found == "") is kept
    assert kept or str(mtu) in found


def test_a_firewall_that_came_later_is_told_from_one_that_was_opened() -> None:
    check = swarm.test_the_machines_own_firewall_lets_the_seat_in
    opened = {"test -e /etc/labkit/swarm-at-boot": "", "/etc/labkit/swarm-at-boot check": ""}

    assert seen(check, opened, machine()) == ""
    assert seen(check, {"test -e /etc/labkit/swarm-at-boot": ""}, machine()) == "no such thing"
    assert seen(check, {}, machine()) == ""
    assert "not active when" in seen(check, {"ufw status": ""}, machine())


def place(state: str, **swarm: Any) -> Answers:
    return {"docker info": {"Swarm": {"LocalNodeState": state, **swarm}}}


MANAGERS = {"RemoteManagers": [{"Addr": "192.0.2.11:2377"}]}


@pytest.mark.parametrize(
    ("number", "wished", "answers", "said"),
    [
        (1, "joined", place("active", ControlAvailable=True, **MANAGERS), ""),
        (1, "joined", place("inactive"), "inactive"),
        (1, "joined", place("active", **MANAGERS), "no manager"),
        (2, "joined", place("active", **MANAGERS), ""),
        (2, "joined", place("active", RemoteManagers=[{"Addr": "192.0.2.99:2377"}]), "192.0.2.99"),
        (2, "left", place("inactive"), ""),
        (2, "left", place("active", **MANAGERS), "active"),
    ],
)
def test_a_machine_has_the_place_in_the_swarm_that_the_class_wants(
    number: int, wished: str, answers: Answers, said: str
) -> None:
    check = swarm.test_the_machine_has_its_place_in_the_swarm
    found = seen(check, answers, machine(number, swarm_node_state=wished))

    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.parametrize(
    ("name", "state", "labels", "said"),
    [
        ("one", "ready", {"zone": "dmz", "mine": "1"}, ""),
        ("one", "down", {"zone": "dmz"}, "one is down"),
        ("one", "ready", {}, "{'zone': 'dmz'}"),
        ("three", "down", {}, ""),
    ],
)
def test_the_manager_tells_which_node_is_down_or_lacks_a_label(
    name: str, state: str, labels: dict[str, str], said: str
) -> None:
    node = {
        "Description": {"Hostname": name},
        "Spec": {"Labels": labels},
        "Status": {"State": state},
    }
    check = swarm.test_the_swarms_nodes_are_ready_and_labelled
    found = seen(check, {"docker node inspect": [node]}, machine(swarm_node_state="joined"))

    assert said in found
    assert bool(said) == bool(found)


def test_a_swarm_is_nobodys_duty_unless_it_is_asked_for() -> None:
    for check in (
        swarm.test_the_machine_has_its_place_in_the_swarm,
        swarm.test_the_swarms_nodes_are_ready_and_labelled,
    ):
        with pytest.raises(pytest.skip.Exception):
            check(Says({}), machine(swarm_node_state="ready"))  # type: ignore[arg-type]


def test_another_authority_than_the_classs_is_named_with_its_file() -> None:
    check = registry.test_the_engine_trusts_the_seats_registry
    ours = machine(2, authority="ours", swarm_node_registry="ready")

    assert seen(check, {"cat": "ours"}, ours) == ""
    assert "vm1:443/ca.crt" in seen(check, {"cat": "theirs"}, ours)
    assert "192.0.2.11:443/ca.crt" in seen(check, {}, ours)
    nobodys = machine(2, swarm_node_registry="ready")
    assert seen(check, {"cat": "ours"}, nobodys)


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("", True),
        ('LISTEN 0 4096 *:443 *:* users:(("docker-proxy",pid=9,fd=7))', True),
        ('LISTEN 0 4096 *:443 *:* users:(("dockerd",pid=7,fd=3))', True),
        ('LISTEN 0 511 *:443 *:* users:(("nginx",pid=9,fd=6))', False),
    ],
)
def test_the_registrys_port_may_be_the_engines(line: str, *, kept: bool) -> None:
    check = registry.test_the_registrys_port_is_free
    found = seen(check, {"ss": line}, machine(swarm_node_registry="ready"))

    assert (found == "") is kept


def test_only_a_registry_that_was_asked_for_has_to_answer() -> None:
    check = registry.test_the_seats_registry_answers
    running = {"swarm_node_registry": "running"}

    assert seen(check, {"timeout 10 openssl s_client": ""}, machine(**running)) == ""
    assert "vm1: no such thing" in seen(check, {}, machine(**running))
    for one in (machine(swarm_node_registry="ready"), machine(2, **running), machine()):
        with pytest.raises(pytest.skip.Exception):
            check(Says({}), one)  # type: ignore[arg-type]
