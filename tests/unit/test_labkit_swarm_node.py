"""Which address, link and MTU a machine's swarm gets, and what its engine must not be told."""

import json
import runpy
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import labkit_swarm_address as address
from ansible.module_utils import labkit_swarm_engine as engine

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
node = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_swarm_node.py")))
proof = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_swarm_proof.py")))

OWN = ["192.0.2.11", "10.0.0.11"]


def test_what_was_asked_for_is_advertised() -> None:
    assert address.choose_address("203.0.113.5", "192.0.2.11", OWN, ["10.0.0.11"]) == "203.0.113.5"


def test_the_listed_address_is_advertised_if_the_machine_also_sends_from_it() -> None:
    assert address.choose_address("", "10.0.0.11", OWN, ["10.0.0.11"] * 2) == "10.0.0.11"


def test_behind_a_translated_address_the_seats_own_one_has_to_be_told() -> None:
    """The seat's names, its firewalls and its certificates would mean the one from outside."""
    with pytest.raises(ValueError, match=r"reached from 10\.0\.0\.11; set seat_address"):
        address.choose_address("", "203.0.113.5", OWN, ["10.0.0.11"] * 2)


@pytest.mark.parametrize("listed", ["203.0.113.5", "192.0.2.11"])
@pytest.mark.parametrize("towards", [["10.0.0.11", "192.0.2.11"], [""]])
def test_an_unclear_address_names_the_candidates(listed: str, towards: list[str]) -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.11.*set seat_address"):
        address.choose_address("", listed, OWN, towards)


def test_two_cards_of_which_the_listed_one_is_not_used_are_unclear() -> None:
    with pytest.raises(ValueError, match=r"says 192\.0\.2\.11.*reached from 10\.0\.0\.11"):
        address.choose_address("", "192.0.2.11", OWN, ["10.0.0.11"])


def test_a_machine_alone_advertises_what_is_listed_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "source_address", lambda _: "192.0.2.11")
    params = {"own_name": "a", "advertise_address": ""}

    assert address.advertised(params, {"a": "10.0.0.11"}, OWN) == "10.0.0.11"
    assert address.advertised(params, {"a": "203.0.113.5"}, OWN) == "192.0.2.11"


def test_a_data_path_that_is_no_address_of_the_machine_is_refused() -> None:
    listing = [{"interface": "lo", "address": "192.0.2.11"}]

    assert address.data_link("192.0.2.11", "192.0.2.11", listing).interface == "lo"
    with pytest.raises(ValueError, match="correct swarm_node_data_path_address"):
        address.data_link("192.0.2.99", "192.0.2.11", listing)


@pytest.mark.parametrize(
    ("asked", "link", "gets"),
    [(0, 1500, 1450), (0, 1400, 1350), (0, 9000, 1450), (1300, 1400, 1300)],
)
def test_an_overlay_networks_packets_fit_the_link(asked: int, link: int, gets: int) -> None:
    assert address.overlay_mtu(asked, address.Link("eth0", link, "")) == gets


def test_an_mtu_that_the_link_cannot_carry_is_refused_with_one_that_it_can() -> None:
    with pytest.raises(
        ValueError, match=r"eth0 carries 1400.*lower swarm_node_overlay_mtu to 1350"
    ):
        address.overlay_mtu(1450, address.Link("eth0", 1400, ""))


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"LiveRestoreEnabled": True}, "live-restore is on"),
        ({"FirewallBackend": {"Driver": "nftables+firewalld"}}, "firewall-backend is nftables"),
    ],
)
def test_an_engine_that_would_refuse_swarm_is_named_with_the_reason(
    info: dict[str, Any], said: str
) -> None:
    [told] = engine.refusals(info)

    assert said in told
    assert "docker_engine_daemon" in told
    assert not engine.refusals({"LiveRestoreEnabled": False, "FirewallBackend": None})


def told(file: Path, mtu: str) -> None:
    settings = {"default-network-opts": {"overlay": {engine.MTU: mtu}}}
    file.write_text(json.dumps(settings))


def test_the_engine_is_told_of_a_small_link_once_and_of_a_usual_one_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DAEMON_JSON", file := tmp_path / "daemon.json")
    wanted = engine.network_defaults(1400, {"ServerVersion": "26.1.5+dfsg1"})

    assert wanted == {"default-network-opts": {"overlay": {engine.MTU: "1400"}}}
    assert engine.network_defaults(1500, {}) == {}
    told(file, "1400")
    assert engine.network_defaults(1400, {}) == {}
    # A machine that moved to a better link.
    assert engine.network_defaults(1500, {})["default-network-opts"]["overlay"] == {
        engine.MTU: "1500"
    }


def test_an_engine_too_old_to_be_told_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DAEMON_JSON", tmp_path / "daemon.json")

    with pytest.raises(ValueError, match=r"engine 20.10.24 cannot be told.*version 24 or later"):
        engine.network_defaults(1400, {"ServerVersion": "20.10.24"})
    assert engine.network_defaults(1500, {"ServerVersion": "20.10.24"}) == {}


def test_only_a_faulty_card_has_its_checksums_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    offload = node.offload_rules
    assert offload(address.Link("eth0", 1500, "virtio_net")) == []
    monkeypatch.setitem(offload.__globals__, "run", lambda *_: (0, "ethtool version 6"))
    [rule] = offload(address.Link("ens192", 1500, "vmxnet3"))
    monkeypatch.setitem(offload.__globals__, "run", lambda *_: (127, "no such file"))

    assert rule.remedy == "ethtool -K ens192 tx-checksum-ip-generic off"
    with pytest.raises(ValueError, match="add ethtool to base_packages"):
        offload(address.Link("ens192", 1500, "vmxnet3"))


def test_a_taken_port_is_told_from_a_free_one() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        assert not proof.is_free(port, "tcp")
    assert proof.is_free(port, "tcp")


def test_only_strangers_are_in_the_way() -> None:
    engine = 'LISTEN 0 4096 *:2377 *:* users:(("dockerd",pid=7,fd=3))\n'

    assert proof.strangers(engine) == set()
    assert proof.strangers(engine + 'x users:(("nginx",pid=9,fd=6))') == {"nginx"}
