"""What a machine's firewalls keep from a swarm, and what it takes to let its seat mates in."""

from __future__ import annotations

import re
import shlex
import shutil
from typing import NamedTuple

from ansible.module_utils.labkit_machine import run
from ansible.module_utils.labkit_nftables import nft_rules, refusing_chains

MANAGING, GOSSIP = 2377, 7946


class Rule(NamedTuple):
    """What must hold: lines of sh that test it, and that bring it about."""

    what: str
    test: str
    remedy: str


def ports(data_path_port: int) -> dict[str, list[int]]:
    """Return a swarm's ports by protocol, in order."""
    # https://docs.docker.com/engine/swarm/swarm-tutorial/#open-protocols-and-ports-between-the-hosts
    return {"tcp": [MANAGING, GOSSIP], "udp": sorted([GOSSIP, data_path_port])}


def openings(mates: dict[str, str], data_path_port: int) -> list[Rule]:
    """
    Return what lets these machines in at the swarm's ports, for every firewall that is active.

    `mates` are addresses, each with the interface over which it is reached. A packet has to
    pass all firewalls, so that each one is asked.
    """
    wanted = ports(data_path_port)
    rules = []
    if shutil.which("ufw") and "Status: active" in run("ufw", "status")[1]:
        rules += [ufw_rule(line) for line in ufw_lines(list(mates), wanted)]
    else:
        for tool, version in (("iptables", False), ("ip6tables", True)):
            its = [mate for mate in mates if is_ipv6(mate) == version]
            if its and refuses_strangers(run(tool, "-w", "-S", "INPUT")[1]):
                rules += [iptables_rule(tool, words) for words in iptables_words(its, wanted)]
    if shutil.which("firewall-cmd") and run("firewall-cmd", "--state")[0] == 0:
        for mate, interface in mates.items():
            zone = zone_of(interface)
            rules += [firewalld_rule(zone, words) for words in rich_rules(mate, data_path_port)]
    if shutil.which("nft"):
        for chain in refusing_chains(run("nft", "-j", "list", "ruleset")[1]):
            rules += [Rule(*each) for each in nft_rules(chain, list(mates), wanted)]
    return rules


def is_ipv6(address: str) -> bool:
    """Return whether ip6tables, rather than iptables, has to do with the address."""
    return ":" in address


def refuses_strangers(chain: str) -> bool:
    """Return whether an INPUT chain, as `iptables -S INPUT` prints it, ends in a refusal."""
    return (
        re.search(r"^-P INPUT (DROP|REJECT)|^-A INPUT -j (DROP|REJECT)", chain, re.MULTILINE)
        is not None
    )


def iptables_words(mates: list[str], wanted: dict[str, list[int]]) -> list[str]:
    """Return iptables' words for letting the mates in, a rule for each mate and protocol."""
    return [
        f"-s {mate} -p {protocol} -m multiport --dports {','.join(map(str, numbers))}"
        " -m comment --comment labkit -j ACCEPT"
        for mate in mates
        for protocol, numbers in wanted.items()
    ]


def iptables_rule(tool: str, words: str) -> Rule:
    """Return the rule at the head of INPUT, where it beats every refusal."""
    return Rule(f"let in {words}", f"{tool} -w -C INPUT {words}", f"{tool} -w -I INPUT {words}")


def ufw_lines(mates: list[str], wanted: dict[str, list[int]]) -> list[str]:
    """Return ufw's rules for letting the mates in, worded as `ufw show added` words them."""
    return [
        f"allow from {mate} to any port {port} proto {protocol}"
        for mate in mates
        for protocol, numbers in wanted.items()
        for port in numbers
    ]


def ufw_rule(line: str) -> Rule:
    """Return a rule of ufw's, which keeps it over boots itself."""
    return Rule(
        f"ufw {line}", f"ufw show added | grep -qF 'ufw {line}'", f"ufw {line} comment labkit"
    )


def zone_of(interface: str) -> str:
    """Return firewalld's zone of an interface, which is the default one if it has none."""
    code, said = run("firewall-cmd", f"--get-zone-of-interface={interface}")
    return said if code == 0 and said else run("firewall-cmd", "--get-default-zone")[1]


def rich_rules(mate: str, data_path_port: int) -> list[str]:
    """Return firewalld's rules for letting a mate in; it knows a swarm's usual ports itself."""
    head = f'rule family="{"ipv6" if is_ipv6(mate) else "ipv4"}" source address="{mate}"'
    usual = f'{head} service name="docker-swarm" accept'
    own = f'{head} port port="{data_path_port}" protocol="udp" accept'
    return [usual] if data_path_port == 4789 else [usual, own]  # noqa: PLR2004  (VXLAN's own port)


def firewalld_rule(zone: str, words: str) -> Rule:
    """Return a rule of firewalld's, for now and, since it keeps the two apart, for every boot."""
    now = f"firewall-cmd -q --zone={shlex.quote(zone)}"
    ever, rule = f"{now} --permanent", shlex.quote(words)
    return Rule(
        f"firewalld, zone {zone}: {words}",
        f"{now} --query-rich-rule={rule} && {ever} --query-rich-rule={rule}",
        f"{now} --add-rich-rule={rule} && {ever} --add-rich-rule={rule}",
    )
