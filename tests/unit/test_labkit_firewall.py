"""Which firewalls keep a seat's machines from each other, and what lets them in."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import labkit_at_boot as at_boot
from ansible.module_utils import labkit_firewall as firewall
from ansible.module_utils import labkit_nftables as nftables
from ansible.module_utils.labkit_firewall import Rule

ORACLE = (
    "-P INPUT ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j REJECT --reject-with x\n"
)
PORTS = firewall.ports(4789)
MATES = {"192.0.2.12": "eth0"}


@pytest.mark.parametrize("chain", ["-P INPUT DROP\n", ORACLE, "-P INPUT ACCEPT\n-A INPUT -j DROP"])
def test_a_chain_that_refuses_strangers_is_seen(chain: str) -> None:
    assert firewall.refuses_strangers(chain)


@pytest.mark.parametrize("chain", ["", "-P INPUT ACCEPT\n-A INPUT -s 192.0.2.99/32 -j DROP\n"])
def test_an_open_chain_is_left_alone(chain: str) -> None:
    assert not firewall.refuses_strangers(chain)


def test_every_port_of_a_swarm_has_its_line_for_ufw() -> None:
    assert firewall.ufw_lines(["192.0.2.12"], PORTS) == [
        "allow from 192.0.2.12 to any port 2377 proto tcp",
        "allow from 192.0.2.12 to any port 7946 proto tcp",
        "allow from 192.0.2.12 to any port 4789 proto udp",
        "allow from 192.0.2.12 to any port 7946 proto udp",
    ]


def test_another_data_path_port_takes_the_place_of_the_usual_one() -> None:
    [_, udp] = firewall.iptables_words(["192.0.2.12"], firewall.ports(7789))

    assert udp.startswith("-s 192.0.2.12 -p udp -m multiport --dports 7789,7946 ")
    assert len(firewall.rich_rules("192.0.2.12", 4789)) == 1
    assert 'port="7789" protocol="udp"' in firewall.rich_rules("192.0.2.12", 7789)[1]


def base_chain(**different: Any) -> dict[str, Any]:
    usual = {"family": "inet", "table": "filter", "name": "input", "type": "filter"}
    return {"chain": {**usual, "hook": "input", "policy": "accept", **different}}


def rule(*words: dict[str, Any]) -> dict[str, Any]:
    return {"rule": {"family": "inet", "table": "filter", "chain": "input", "expr": [*words]}}


def chains(*parts: dict[str, Any]) -> list[nftables.Chain]:
    return nftables.refusing_chains(json.dumps({"nftables": [{"metainfo": {}}, *parts]}))


def test_a_chain_of_nftables_may_refuse_by_its_policy_or_by_its_last_rule() -> None:
    policy, open_ = base_chain(policy="drop"), base_chain()

    assert chains(policy) == [("inet", "filter", "input")]
    assert chains(open_, rule({"counter": {}}, {"reject": {}})) == [("inet", "filter", "input")]
    assert chains(open_, rule({"match": {}}, {"drop": None})) == []
    assert nftables.refusing_chains("nft: command not found") == []


@pytest.mark.parametrize(
    "different",
    [
        {"hook": "forward"},
        {"type": "nat"},
        {"family": "ip", "name": "INPUT"},
        {"table": "firewalld"},
        {"family": "bridge"},
    ],
)
def test_chains_that_are_spoken_to_otherwise_or_no_concern_are_passed_over(
    different: dict[str, Any],
) -> None:
    assert chains(base_chain(policy="drop", **different)) == []


def test_a_rule_of_nftables_is_worded_as_nft_lists_it_and_fits_its_family() -> None:
    [tcp, udp] = nftables.nft_rules(("inet", "filter", "input"), ["192.0.2.12"], PORTS)

    assert "ip saddr 192.0.2.12 udp dport { 4789, 7946 } accept" in udp[1]
    assert tcp[2].startswith("nft insert rule inet filter input 'ip saddr 192.0.2.12 tcp dport")
    assert nftables.nft_rules(("ip", "t", "c"), ["2001:db8::2"], PORTS) == []
    assert "ip6 saddr" in nftables.nft_rules(("inet", "t", "c"), ["2001:db8::2"], PORTS)[0][0]


def answers(monkeypatch: pytest.MonkeyPatch, **said: tuple[int, str]) -> None:
    names = {name.replace("_", "-"): answer for name, answer in said.items()}
    monkeypatch.setattr(firewall.shutil, "which", names.get)
    monkeypatch.setattr(firewall, "run", lambda name, *_: names.get(name, (127, "")))


def test_where_nothing_refuses_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ufw=(0, "Status: inactive"), iptables=(0, "-P INPUT ACCEPT"))

    assert firewall.openings(MATES, 4789) == []


def test_every_firewall_that_is_active_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = json.dumps({"nftables": [base_chain(policy="drop")]})
    answers(monkeypatch, iptables=(0, ORACLE), firewall_cmd=(0, "public"), nft=(0, listing))
    tools = [one.remedy.split()[0] for one in firewall.openings(MATES, 4789)]

    assert tools == ["iptables", "iptables", "firewall-cmd", "nft", "nft"]


def test_ufw_speaks_for_the_iptables_that_it_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, ufw=(0, "Status: active"), iptables=(0, "-P INPUT DROP"))
    tools = {one.remedy.split()[0] for one in firewall.openings(MATES, 4789)}

    assert tools == {"ufw"}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    here = tmp_path / "opened"
    good = Rule("be open, it's meant", f"test -e {here}", f"touch {here}")
    hopeless = Rule("be impossible", "false", "false")
    (tmp_path / "good").write_text(at_boot.script([good]))
    (tmp_path / "bad").write_text(at_boot.script([good, hopeless]))
    return tmp_path


def say(script: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(["sh", script, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_the_script_at_boot_brings_about_what_is_missing(script: Path) -> None:
    assert say(script / "good", "check") == (1, "missing: be open, it's meant\n")
    assert not (script / "opened").exists()
    assert say(script / "good") == (0, "")
    assert say(script / "good", "check") == (0, "")


def test_what_the_script_cannot_bring_about_it_names(script: Path) -> None:
    assert say(script / "bad") == (1, "missing: be impossible\n")
    assert (script / "opened").exists()
