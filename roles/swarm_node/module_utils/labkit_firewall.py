"""What a machine's firewall keeps from a swarm, and what it takes to let its seat mates in."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.labkit_machine import run

# https://docs.docker.com/engine/swarm/swarm-tutorial/#open-protocols-and-ports-between-the-hosts
PORTS = {"tcp": ("2377", "7946"), "udp": ("7946", "4789")}

# Where netfilter-persistent, and Oracle's images, keep the rules for the next boot.
SAVED_RULES = Path("/etc/iptables/rules.v4")


class Change(NamedTuple):
    """One alteration of the machine: a command to run, or a text to write to a path."""

    what: str
    command: tuple[str, ...] = ()
    path: str = ""
    text: str = ""


def openings(mates: list[str]) -> list[Change]:
    """Return what it takes to let these addresses in at the swarm's ports; nothing if all may."""
    if shutil.which("ufw") and "Status: active" in run("ufw", "status")[1]:
        there = run("ufw", "show", "added")[1]
        return [
            Change(f"ufw {line}", command=("ufw", *line.split(), "comment", "labkit"))
            for line in ufw_lines(mates)
            if line not in there
        ]
    if not refuses_strangers(run("iptables", "-w", "-S", "INPUT")[1]):
        return []
    wanted = rules([mate for mate in mates if is_ipv4(mate)])
    changes = [
        Change(f"let in {' '.join(rule)}", command=("iptables", "-w", "-I", "INPUT", *rule))
        for rule in wanted
        if run("iptables", "-w", "-C", "INPUT", *rule)[0]
    ]
    saved = SAVED_RULES.read_text(encoding="utf-8") if SAVED_RULES.is_file() else ""
    text = with_rules(saved, [f"-A INPUT {' '.join(rule)}" for rule in wanted])
    if text != saved:
        changes.append(Change(f"write {SAVED_RULES}", path=str(SAVED_RULES), text=text))
    return changes


def is_ipv4(address: str) -> bool:
    """Return whether iptables, rather than ip6tables, has to do with the address."""
    return ":" not in address


def refuses_strangers(chain: str) -> bool:
    """Return whether an INPUT chain, as `iptables -S INPUT` prints it, ends in a refusal."""
    return (
        re.search(r"^-P INPUT (DROP|REJECT)|^-A INPUT -j (DROP|REJECT)", chain, re.MULTILINE)
        is not None
    )


def rules(mates: list[str]) -> list[list[str]]:
    """Return iptables' words for letting the mates in, a rule for each mate and protocol."""
    return [
        (
            f"-s {mate}/32 -p {protocol} -m multiport --dports {','.join(ports)}"
            " -m comment --comment labkit -j ACCEPT"
        ).split()
        for mate in mates
        for protocol, ports in PORTS.items()
    ]


def with_rules(saved: str, lines: list[str]) -> str:
    """Return iptables-save's text with the lines it lacks, before the first rule of INPUT."""
    missing = [line for line in lines if line not in saved.splitlines()]
    at = re.search(r"^-A INPUT ", saved, re.MULTILINE)
    if not missing or not at:
        return saved
    return saved[: at.start()] + "".join(f"{line}\n" for line in missing) + saved[at.start() :]


def ufw_lines(mates: list[str]) -> list[str]:
    """Return ufw's rules for letting the mates in, worded as `ufw show added` words them."""
    return [
        f"allow from {mate} to any port {port} proto {protocol}"
        for mate in mates
        for protocol, ports in PORTS.items()
        for port in ports
    ]
