"""Who makes a seat's swarm, who joins it, and which swarm is nobody's business of ours."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils import labkit_membership as membership

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
MODULE = runpy.run_path(str(ROLE / "library/labkit_swarm_member.py"))
member = SimpleNamespace(**MODULE)

PLACE = {
    "address": "192.0.2.12",
    "data_path_address": "10.0.0.12",
    "data_path_port": 7789,
    "state": "joined",
}
TOKEN = "SWMTKN-1"  # noqa: S105 - it stands for one
OUT = {"LocalNodeState": "inactive"}
WORKER = {
    "LocalNodeState": "active",
    "NodeID": "n1",
    "RemoteManagers": [{"Addr": "192.0.2.11:2377"}],
}
MANAGER = {**WORKER, "ControlAvailable": True}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Keep what the engine is asked for; it is in no swarm until it is told to be."""
    asked: list[tuple[str, Any]] = []

    def ask(_: str, path: str, body: Any = None) -> Any:
        asked.append((path, body))
        return {"Swarm": WORKER if len(asked) > 1 else OUT}

    monkeypatch.setattr(membership, "ask", ask)
    monkeypatch.setitem(member.settle.__globals__, "chosen", lambda: PLACE)
    return asked


def wish(state: str, **more: str) -> dict[str, str]:
    return {"state": state, "manager": "", "token": "", "only_if": "", **more}


def test_a_worker_joins_with_its_own_addresses_over_the_engines_socket(
    asked: list[tuple[str, Any]],
) -> None:
    result = member.settle(wish("joined", manager="192.0.2.11", token=TOKEN), dry=False)

    assert result == {"changed": True, "node": "n1"}
    assert asked[1] == (
        "/swarm/join",
        {
            "ListenAddr": "0.0.0.0:2377",
            "AdvertiseAddr": "192.0.2.12",
            "DataPathAddr": "10.0.0.12",
            "RemoteAddrs": ["192.0.2.11:2377"],
            "JoinToken": TOKEN,
        },
    )


def test_the_port_of_the_data_path_is_the_makers_to_say(asked: list[tuple[str, Any]]) -> None:
    member.settle(wish("made"), dry=False)

    assert asked[1][0] == "/swarm/init"
    assert asked[1][1]["DataPathPort"] == 7789


def test_before_the_first_machine_there_is_nothing_to_join(asked: list[tuple[str, Any]]) -> None:
    result = member.settle(wish("joined"), dry=False)

    assert "will take it in" in result["reason"]
    assert [path for path, _ in asked] == ["/info"]


def test_a_mate_is_not_taken_in_before_its_own_roles_ask_for_it(
    asked: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(member.settle.__globals__, "chosen", dict)

    result = member.settle(wish("joined", token=TOKEN, only_if="joined"), dry=False)

    assert not result["changed"]
    assert asked == []


@pytest.mark.parametrize("state", ["joined", "left"])
def test_a_dry_run_asks_the_engine_for_nothing_but_its_state(
    asked: list[tuple[str, Any]], state: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(member.settle.__globals__, "ENGINE_SOCKET", str(tmp_path))
    member.settle(wish(state, manager="192.0.2.11", token=TOKEN), dry=True)

    assert [path for path, _ in asked] == ["/info"]


@pytest.mark.parametrize(
    ("known", "wished", "said"),
    [
        (
            WORKER,
            wish("joined", manager="192.0.2.99"),
            "whose manager is 192.0.2.11, not 192.0.2.99",
        ),
        (WORKER, wish("made"), "it is a worker in a swarm"),
    ],
)
def test_a_swarm_of_somebody_elses_is_left_alone_and_named(
    known: dict[str, Any], wished: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        member.enter(known, wished, dry=False)


@pytest.mark.parametrize(("known", "state"), [(MANAGER, "made"), (WORKER, "joined")])
def test_who_is_in_stays_in(known: dict[str, Any], state: str) -> None:
    wished = wish(state, manager="192.0.2.11", token=TOKEN)

    assert member.enter(known, wished, dry=False) == {"changed": False, "node": "n1"}


def node(name: str, hostname: str, state: str, role: str = "worker") -> dict[str, Any]:
    described = {"Description": {"Hostname": hostname}, "Spec": {"Role": role}}
    return {"ID": name, "Status": {"State": state}, **described}


def test_what_a_machine_was_before_it_left_is_found_and_nothing_else() -> None:
    listed = [
        node("new", "vm2", "ready"),
        node("old", "vm2", "down"),
        node("twin", "vm2", "ready"),
        node("off", "vm3", "down"),
        node("boss", "vm2", "down", "manager"),
    ]

    assert membership.ghosts("new", listed) == ["old"]
    assert membership.ghosts("gone", listed) == []


def test_labels_are_added_to_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    known = {"Version": {"Index": 7}, "Spec": {"Role": "worker", "Labels": {"mine": "1"}}}

    def ask(method: str, path: str, body: Any = None) -> Any:
        if method == "POST":
            sent.append((path, body))
        return known

    monkeypatch.setattr(membership, "ask", ask)

    assert membership.label("n1", {"type": "storage"}, dry=False)
    assert not membership.label("n1", {"mine": "1"}, dry=False)
    assert sent == [
        (
            "/nodes/n1/update?version=7",
            {"Role": "worker", "Labels": {"mine": "1", "type": "storage"}},
        )
    ]
