"""Chains of nftables that refuse strangers, whoever made them, and the rules to put before."""

from __future__ import annotations

import json
import shlex
from typing import Any

Chain = tuple[str, str, str]

# Firewalls that are spoken to through their own commands; iptables-nft would not understand
# its own tables any more with one of nft's rules in them.
OTHERS = {("ip", "filter", "INPUT"), ("ip6", "filter", "INPUT")}
OTHERS_TABLES = {"firewalld"}
FAMILIES = {"inet", "ip", "ip6"}
QUIET = {"counter", "log"}


def refusing_chains(listing: str) -> list[Chain]:
    """
    Return the chains (family, table, name) for incoming packets that end in a refusal.

    `listing` is what `nft -j list ruleset` prints.
    """
    try:
        parts: list[dict[str, Any]] = json.loads(listing)["nftables"]
    except (ValueError, KeyError):
        return []
    chains = [part["chain"] for part in parts if "chain" in part]
    refusing = {key(part["rule"], "chain") for part in parts if refuses_all(part.get("rule"))}
    return [
        key(chain, "name")
        for chain in chains
        if (chain.get("hook"), chain.get("type")) == ("input", "filter")
        and chain["family"] in FAMILIES
        and chain["table"] not in OTHERS_TABLES
        and key(chain, "name") not in OTHERS
        and (chain.get("policy") == "drop" or key(chain, "name") in refusing)
    ]


def key(part: dict[str, Any], name: str) -> Chain:
    """Return the chain that is meant."""
    return part["family"], part["table"], part[name]


def refuses_all(rule: dict[str, Any] | None) -> bool:
    """Return whether a rule drops or rejects whatever comes to it."""
    said = {word for expression in (rule or {}).get("expr", ()) for word in expression}
    return len(said - QUIET) == 1 and said - QUIET <= {"drop", "reject"}


def nft_rules(
    chain: Chain, mates: list[str], wanted: dict[str, list[int]]
) -> list[tuple[str, str, str]]:
    """
    Return the rules for the head of a chain, each as what, test and remedy in lines of sh.

    They are worded as nft itself lists them.
    """
    family, *_ = chain
    place = " ".join(map(shlex.quote, chain))
    rules = []
    for mate in mates:
        version = "ip6" if ":" in mate else "ip"
        for protocol, numbers in wanted.items() if family in {"inet", version} else ():
            set_ = f"{{ {', '.join(map(str, numbers))} }}"
            words = f'{version} saddr {mate} {protocol} dport {set_} accept comment "labkit"'
            rules.append(
                (
                    f"nft {' '.join(chain)}: {words}",
                    f"nft -n list chain {place} | grep -qF {shlex.quote(words)}",
                    f"nft insert rule {place} {shlex.quote(words)}",
                )
            )
    return rules
