"""What an engine's own settings mean for a swarm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ansible.module_utils.labkit_machine import run

DAEMON_JSON = Path("/etc/docker/daemon.json")
MTU = "com.docker.network.driver.mtu"
# default-network-opts came with Engine 24 (its release notes; moby PR 43197).
OLDEST_WITH_DEFAULTS = 24


def engine_info() -> dict[str, Any]:
    """Return what the engine tells of itself, nothing where none answers."""
    said = run("docker", "info", "--format", "{{json .}}")[1]
    # Warnings may stand before it.
    answer = next((line for line in said.splitlines() if line.startswith("{")), "{}")
    found: dict[str, Any] = json.loads(answer)
    return found


def refusals(info: dict[str, Any]) -> list[str]:
    """Return why this engine would refuse a swarm, each with what to do."""
    found = []
    if info.get("LiveRestoreEnabled"):
        found.append(
            "live-restore is on, and an engine that keeps containers alive while it is down"
            " refuses swarm: set live-restore to false in docker_engine_daemon, and take"
            " --live-restore from dockerd's command line if it is there"
        )
    backend = (info.get("FirewallBackend") or {}).get("Driver", "")
    if backend.startswith("nftables"):
        found.append(
            f"the engine's firewall-backend is {backend}, with which it refuses swarm, whose own"
            " rules are iptables': set firewall-backend to iptables in docker_engine_daemon"
        )
    return found


def network_defaults(link_mtu: int, info: dict[str, Any]) -> dict[str, Any]:
    """
    Return what daemon.json lacks for overlay networks over a link of this MTU.

    The engine takes VXLAN's share off what it is told here, and applies it on every node to
    every overlay network, ingress too, that is made without an MTU of its own.

    Raises:
        ValueError: This engine cannot be told.
    """
    try:
        settings = json.loads(DAEMON_JSON.read_text(encoding="utf-8"))
        told = int(settings["default-network-opts"]["overlay"][MTU])
    except (OSError, ValueError, KeyError, TypeError):
        told = 1500
    if told == link_mtu:
        return {}
    version = str(info.get("ServerVersion") or OLDEST_WITH_DEFAULTS)
    if int(version.split(".", maxsplit=1)[0]) < OLDEST_WITH_DEFAULTS:
        raise ValueError(
            f"engine {version} cannot be told the MTU {link_mtu} for overlay networks: take"
            f" version {OLDEST_WITH_DEFAULTS} or later (docker_engine_version)"
        )
    return {"default-network-opts": {"overlay": {MTU: str(link_mtu)}}}
