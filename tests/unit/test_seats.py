"""Who waits for whom in a seat, and what is told of whom when."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from labkit.classroom import Machine
from labkit.post import Lost
from labkit.seat import seats
from labkit.seat.packets import Count, Place
from labkit.seat.proof import Proof
from labkit.seat.seats import Ears, Seats
from labkit.ssh import Connection
from labkit.verifier import CheckResult

NAMES = ("vm1", "vm2", "vm3")
SOON = 5.0


def machine(name: str) -> Machine:
    return Machine(name, "seat01", 1, Connection(name), {})


def count(name: str, lost: Sequence[str]) -> Count:
    """Return what a machine counts from which nothing arrives at those in `lost`."""
    place = Place(name, name, name, 4789, 1500, 1500)
    note = {"sent": 10, "answered": 10, "error": ""}
    sent = {mate: {"4789/udp": note} for mate in NAMES if mate != name}
    arrived = [(mate, "4789/udp", mate, 10) for mate in NAMES if name not in lost]
    return Count(place, sent, arrived, [])


class Wire:
    """What the rounds run on: which pairs were tried, and what is to come of it."""

    def __init__(self) -> None:
        self.rounds: list[set[str]] = []
        self.deaf: list[str] = []
        self.lost: dict[str, Lost] = {}
        self.going = threading.Event()
        self.going.set()

    def run(self, proof: Proof) -> None:
        self.rounds.append({"+".join(sorted(pair)) for pair in proof.pairs})
        self.going.wait(SOON)
        names = {one.name for one in proof.machines}
        proof.lost = {name: why for name, why in self.lost.items() if name in names}
        proof.counts = {name: count(name, self.deaf) for name in names - proof.lost.keys()}


@dataclass
class Told:
    """Whoever listens; `trial` names the machines that are on trial."""

    results: list[CheckResult] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    free: list[str] = field(default_factory=list)
    drifted: dict[str, Sequence[str]] = field(default_factory=dict)
    trial: set[str] = field(default_factory=set)

    def drift(self, name: str, promises: Sequence[str]) -> None:
        self.drifted[name] = promises
        self.trial.discard(name)

    def ears(self) -> Ears:
        return Ears(
            lambda name, _part, _step: self.begun.append(name),
            self.results.append,
            lambda name: name in self.trial,
            self.drift,
            self.free.append,
        )

    def of(self, name: str) -> dict[str, str]:
        """Return what a machine was told, by the check of which mate."""
        return {
            one.check.partition("::")[2]: one.outcome for one in self.results if one.machine == name
        }


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    wire = Wire()
    monkeypatch.setattr(Proof, "run", lambda proof, wire=wire: wire.run(proof))
    monkeypatch.setattr(seats, "PATIENCE", 0.05)
    return wire


@pytest.fixture
def told() -> Told:
    return Told()


Make = Callable[..., Seats]


@pytest.fixture
def make(tmp_path: Path, told: Told, wire: Wire) -> Iterator[Make]:  # noqa: ARG001 - before any seat
    made: list[Seats] = []

    def make(*names: str) -> Seats:
        listed: Any = {"seat01": [{"name": name, "address": name} for name in NAMES]}
        made.append(Seats(map(machine, names or NAMES), listed, told.ears(), tmp_path, 10))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def promise(mate: str) -> str:
    return f"a swarm's packets pass to and from: {mate}"


def settle(one: Seats) -> None:
    end = time.monotonic() + SOON
    while one.busy and time.monotonic() < end:
        time.sleep(0.005)
    assert not one.busy


def test_a_seat_is_proven_once_when_all_have_come(
    make: Make, told: Told, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "PATIENCE", SOON)
    seat = make()
    for name in NAMES[:2]:
        seat.come(name, reachable=True)
    assert told.free == []
    seat.come("vm3", reachable=True)
    settle(seat)

    assert wire.rounds == [{"vm1+vm2", "vm1+vm3", "vm2+vm3"}]
    assert sorted(told.free) == sorted(told.begun) == list(NAMES)
    assert told.of("vm1") == {"vm2": "passed", "vm3": "passed"}
    assert list(seat.unproven()) == []


def test_a_machine_that_is_dead_is_let_go_at_once_and_nobody_waits_for_it(
    make: Make, told: Told, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "PATIENCE", SOON)
    seat = make()
    seat.come("vm1", reachable=True)
    seat.come("vm3", reachable=False)
    assert told.free == ["vm3"]
    seat.come("vm2", reachable=True)
    settle(seat)

    assert wire.rounds == [{"vm1+vm2"}]
    assert [(one.machine, one.outcome) for one in seat.unproven()] == [
        ("vm1", "skipped"),
        ("vm2", "skipped"),
    ]
    assert "vm3 could not take part" in next(iter(seat.unproven())).detail


def test_who_comes_late_holds_up_nobody_and_is_proven_with_those_who_went_on(
    make: Make, told: Told, wire: Wire
) -> None:
    seat = make()
    for name in NAMES[:2]:
        seat.come(name, reachable=True)
    settle(seat)
    assert sorted(told.free) == ["vm1", "vm2"]
    wire.deaf = ["vm3"]
    seat.come("vm3", reachable=True)
    settle(seat)

    assert wire.rounds == [{"vm1+vm2"}, {"vm1+vm3", "vm2+vm3"}]
    assert told.of("vm1") == {"vm2": "passed", "vm3": "failed"}
    assert told.of("vm3") == {"vm1": "failed", "vm2": "failed"}
    assert sorted(told.free) == list(NAMES), "each is let go once"


def test_who_comes_during_a_round_has_the_next_one(make: Make, told: Told, wire: Wire) -> None:
    seat = make()
    wire.going.clear()
    for name in NAMES[:2]:
        seat.come(name, reachable=True)
    while not wire.rounds:
        time.sleep(0.005)
    seat.come("vm3", reachable=True)
    wire.going.set()
    settle(seat)

    assert [len(one) for one in wire.rounds] == [1, 2]
    assert sorted(told.free) == list(NAMES)


def test_a_mate_outside_of_the_run_is_not_touched_and_that_is_said(
    make: Make, told: Told, wire: Wire
) -> None:
    seat = make("vm1")
    seat.come("vm1", reachable=True)
    settle(seat)

    assert wire.rounds == []
    assert told.free == ["vm1"]
    assert [one.detail for one in seat.unproven()] == [
        f"note: not proven that it and {mate} reach each other: {mate} is not in this run"
        for mate in ("vm2", "vm3")
    ]


def test_a_machine_on_trial_gets_its_roles_and_is_proven_again(
    make: Make, told: Told, wire: Wire
) -> None:
    told.trial, wire.deaf = {"vm2", "vm3"}, ["vm2"]
    seat = make()
    for name in NAMES:
        seat.come(name, reachable=True)
    settle(seat)

    assert told.drifted == {
        "vm2": [promise("vm1"), promise("vm3")],
        "vm3": [promise("vm2")],
    }
    assert (told.results, told.free) == ([], ["vm1"])
    wire.deaf = []
    for name in ("vm2", "vm3"):
        seat.come(name, reachable=True)
    settle(seat)

    for name in NAMES:
        assert set(told.of(name).values()) == {"passed"}
        assert len([one for one in told.results if one.machine == name]) == 2
    assert sorted(told.free) == list(NAMES)


def test_what_roles_cannot_mend_is_told(make: Make, told: Told, wire: Wire) -> None:
    told.trial, wire.deaf = {"vm2"}, ["vm2"]
    seat = make("vm1", "vm2")
    for _ in range(2):
        seat.come("vm2", reachable=True)
        seat.come("vm1", reachable=True) if not told.free else None
        settle(seat)

    assert told.of("vm2") == {"vm1": "failed"}
    assert told.of("vm1") == {"vm2": "failed"}


def test_a_machine_that_is_lost_in_the_middle_is_told_and_tried_no_more(
    make: Make, told: Told, wire: Wire
) -> None:
    wire.lost = {"vm2": Lost("No route to host", away=True)}
    seat = make()
    for name in NAMES:
        seat.come(name, reachable=True)
    settle(seat)

    [result] = [one for one in told.results if one.machine == "vm2"]
    assert (result.outcome, result.seen) == ("unreachable", "No route to host")
    assert told.of("vm1") == {"vm3": "passed"}
    assert len(wire.rounds) == 1
    assert {one.machine for one in seat.unproven()} == {"vm1", "vm3"}


def test_a_fault_of_labkits_own_is_no_silence(
    make: Make, told: Told, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Proof, "run", lambda proof: proof.nothing)
    seat = make()
    for name in NAMES:
        seat.come(name, reachable=True)
    settle(seat)

    assert {one.outcome for one in told.results} == {"failed"}
    assert "AttributeError" in told.results[0].seen
    assert sorted(told.free) == list(NAMES)
    assert wire.rounds == []


def test_a_run_that_stops_hears_nothing_more(make: Make, told: Told, wire: Wire) -> None:
    seat = make()
    wire.going.clear()
    for name in NAMES:
        seat.come(name, reachable=True)
    while not wire.rounds:
        time.sleep(0.005)
    threading.Timer(0.05, wire.going.set).start()
    seat.stop()

    assert (told.results, told.free) == ([], [])
