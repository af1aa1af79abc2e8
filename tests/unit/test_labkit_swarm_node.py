"""Which address a machine advertises in a swarm, and whom its firewall lets in."""

import runpy
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils import labkit_firewall as firewall

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
node = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_swarm_node.py")))
proof = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_swarm_proof.py")))

OWN = ["192.0.2.11", "10.0.0.11"]
ORACLE = (
    "-P INPUT ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with x\n"
)


def test_what_was_asked_for_is_advertised() -> None:
    assert node.choose_address("203.0.113.5", "192.0.2.11", OWN, ["10.0.0.11"]) == "203.0.113.5"


def test_the_listed_address_is_advertised_if_it_is_the_machines_own() -> None:
    assert node.choose_address("", "192.0.2.11", OWN, ["10.0.0.11"]) == "192.0.2.11"


def test_behind_a_translated_address_the_way_to_the_mates_decides() -> None:
    assert node.choose_address("", "203.0.113.5", OWN, ["10.0.0.11", "10.0.0.11"]) == "10.0.0.11"


@pytest.mark.parametrize("towards", [["10.0.0.11", "192.0.2.11"], [""]])
def test_an_unclear_address_names_the_candidates(towards: list[str]) -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.11.*set swarm_node_advertise_address"):
        node.choose_address("", "203.0.113.5", OWN, towards)


@pytest.mark.parametrize("chain", ["-P INPUT DROP\n", ORACLE, "-P INPUT ACCEPT\n-A INPUT -j DROP"])
def test_a_chain_that_refuses_strangers_is_seen(chain: str) -> None:
    assert firewall.refuses_strangers(chain)


@pytest.mark.parametrize("chain", ["", "-P INPUT ACCEPT\n-A INPUT -s 192.0.2.99/32 -j DROP\n"])
def test_an_open_chain_is_left_alone(chain: str) -> None:
    assert not firewall.refuses_strangers(chain)


def test_saved_rules_let_the_mates_in_before_the_refusal_and_once() -> None:
    saved = f"*filter\n:INPUT ACCEPT [0:0]\n{ORACLE}COMMIT\n"
    lines = [f"-A INPUT {' '.join(rule)}" for rule in firewall.rules(["192.0.2.12"])]

    once = firewall.with_rules(saved, lines)

    assert once.index("192.0.2.12/32 -p udp") < once.index("REJECT")
    assert once.count("192.0.2.12") == 2
    assert firewall.with_rules(once, lines) == once


def test_every_port_of_a_swarm_has_its_line_for_ufw() -> None:
    assert firewall.ufw_lines(["192.0.2.12"]) == [
        "allow from 192.0.2.12 to any port 2377 proto tcp",
        "allow from 192.0.2.12 to any port 7946 proto tcp",
        "allow from 192.0.2.12 to any port 7946 proto udp",
        "allow from 192.0.2.12 to any port 4789 proto udp",
    ]


def test_a_taken_port_is_told_from_a_free_one() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        assert not proof.is_free(port, "tcp")
    assert proof.is_free(port, "tcp")


def test_only_strangers_are_in_the_way() -> None:
    engine = 'LISTEN 0 4096 *:2377 *:* users:(("dockerd",pid=7,fd=3))\n'

    assert proof.strangers(engine) == set()
    assert proof.strangers(engine + 'x users:(("nginx",pid=9,fd=6))') == {"nginx"}
