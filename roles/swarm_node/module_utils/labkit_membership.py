"""A machine's place in its seat's swarm, read from its engine and altered through it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.labkit_engine_socket import ask

CHOSEN = Path("/etc/labkit/swarm.json")
PORT = 2377
# Labels of a node and what the swarm itself notes of it may cross.
TRIES = 5
Swarm = dict[str, Any]


def chosen() -> dict[str, Any]:
    """Return what the role chose for a swarm on this machine, nothing before it did."""
    try:
        found: dict[str, Any] = json.loads(CHOSEN.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def swarm() -> Swarm:
    """
    Return what the engine knows of the swarm that it is in.

    Raises:
        OSError: It does not answer.
    """
    found: Swarm = ask("GET", "/info").get("Swarm") or {}
    return found


def is_member(known: Swarm) -> bool:
    """Tell whether the engine is in a swarm, be it one that it cannot reach."""
    return known.get("LocalNodeState", "inactive") != "inactive"


def managers(known: Swarm) -> list[str]:
    """Return the addresses of the managers, as the engine was told."""
    listed = [each["Addr"] for each in known.get("RemoteManagers") or ()]
    return [address.rpartition(":")[0].strip("[]") for address in listed]


def stranger(known: Swarm, manager: str) -> str:
    """Return why the swarm that the machine is in is not the seat's, "" if it may be."""
    if not is_member(known) or not manager or manager in managers(known):
        return ""
    others = ", ".join(managers(known)) or "nobody"
    return (
        f"it is in another swarm, whose manager is {others}, not {manager}; what runs there would"
        " be lost: docker swarm leave on it, or set swarm_node_state: ready"
    )


def make(place: dict[str, Any]) -> None:
    """Make a swarm of one, with this machine as its manager."""
    ask("POST", "/swarm/init", {**addresses(place), "DataPathPort": place["data_path_port"]})


def join(place: dict[str, Any], manager: str, token: str) -> None:
    """
    Join the swarm as a worker.

    Raises:
        OSError: It did not work; but that another was quicker to take the machine in is fine.
    """
    remote = f"[{manager}]:{PORT}" if ":" in manager else f"{manager}:{PORT}"
    try:
        ask(
            "POST", "/swarm/join", {**addresses(place), "RemoteAddrs": [remote], "JoinToken": token}
        )
    except OSError:
        if not is_member(swarm()):
            raise


def addresses(place: dict[str, Any]) -> dict[str, Any]:
    """Return where this machine listens and what it advertises, in the engine's words."""
    everywhere = "[::]" if ":" in place["address"] else "0.0.0.0"  # noqa: S104  (as docker itself does)
    return {
        "ListenAddr": f"{everywhere}:{PORT}",
        "AdvertiseAddr": place["address"],
        "DataPathAddr": place["data_path_address"],
    }


def leave(known: Swarm) -> None:
    """Leave the swarm, which ends with its last manager; volumes and images stay."""
    force = "true" if known.get("ControlAvailable") else "false"
    ask("POST", f"/swarm/leave?force={force}")


def join_token() -> str:
    """Return what a worker has to show to join; only a manager knows it."""
    token: str = ask("GET", "/swarm")["JoinTokens"]["Worker"]
    return token


def label(node: str, labels: dict[str, str], *, dry: bool) -> bool:
    """
    Give a node its labels, which keeps those that it has besides; tell whether one was new.

    Raises:
        OSError: There is no such node, or this is no manager.
    """
    for attempt in range(TRIES):
        known = ask("GET", f"/nodes/{node}")
        spec = known["Spec"]
        before = spec.get("Labels") or {}
        after = {**before, **labels}
        if after == before or dry:
            return bool(after != before)
        try:
            version = known["Version"]["Index"]
            ask("POST", f"/nodes/{node}/update?version={version}", {**spec, "Labels": after})
        except OSError as error:
            if "out of sequence" not in str(error) or attempt == TRIES - 1:
                raise
            time.sleep(0.5)
        else:
            return True
    return False


def ghosts(node: str, listed: list[dict[str, Any]]) -> list[str]:
    """Return the nodes that this one was before it left and came back."""
    names = {each["ID"]: each["Description"].get("Hostname") for each in listed}
    return [
        each["ID"]
        for each in listed
        if each["ID"] != node
        and names[each["ID"]] == names.get(node)
        and each["Status"]["State"] == "down"
        and each["Spec"]["Role"] == "worker"
    ]


def forget_ghosts(node: str, *, dry: bool) -> bool:
    """Take out of the list what a node was before; tell whether there was any."""
    found = ghosts(node, ask("GET", "/nodes"))
    for ghost in found if not dry else ():
        ask("DELETE", f"/nodes/{ghost}?force=true")
    return bool(found)
