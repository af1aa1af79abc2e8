"""Who is looked at first, whose roles run, and which machines share a playbook run."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import provision, verify
from labkit.classroom import Class, Depot, Machine
from labkit.events import AGAIN, NOTE, Event, Kind
from labkit.lock import Locked, write_lock
from labkit.provision import Options, Roles
from labkit.record import Record
from labkit.runner import Play, Stop
from labkit.seat.packets import Count, Place
from labkit.seat.proof import Proof
from labkit.ssh import Connection
from labkit.verdicts import DRIFTED
from labkit.verifier import CheckResult, Finished
from labkit.verify import Checks

INPUTS = {"attendee_name": "student", "attendee_keys": ["ssh-ed25519 AAAA"]}


def machine(name: str) -> Machine:
    return Machine(name, name, 1, Connection(name), INPUTS)


@pytest.mark.parametrize(
    ("given", "looks_first"),
    [
        ({}, True),
        ({"full": True}, False),
        ({"verify": False}, False),
        ({"check": True}, False),
        ({"tags": "images"}, False),
    ],
)
def test_a_machine_is_looked_at_first_unless_roles_were_asked_for(
    given: dict[str, Any], *, looks_first: bool
) -> None:
    assert Options(**given).looks_first is looks_first


class Told:
    """What a run hears."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {"vm1": machine("vm1")}
        self.events: list[Any] = []
        self.put = self.events.append
        self.over: list[str] = []
        self.done = self.over.append

    def follow(self, _busy: Callable[[], bool]) -> None:
        pass

    def begin(self, machine: str, part: str, step: str) -> None:
        self.put(Event(Kind.START, machine, step, part))

    @property
    def steps(self) -> list[str]:
        return [one.step for one in self.events if isinstance(one, Event)]


class Idle:
    """A checking process that is never there."""

    def __init__(self, _directory: Path, _forks: int, tell: Callable[..., None]) -> None:
        self.tell = tell
        self.submitted: list[str] = []
        self.busy = False

    def submit(self, described: dict[str, Any]) -> None:
        self.submitted.append(described["name"])

    def stop(self) -> None:
        pass


@pytest.fixture
def checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checks:
    monkeypatch.setattr(verify, "Verifier", Idle)
    known = Class(tmp_path, (machine("vm1"),), ("vm1",), {}, (), {})
    checks = Checks(Told(), known, tmp_path, 1)  # type: ignore[arg-type]
    checks.try_first(machine("vm1"))
    return checks


def result(promise: str, outcome: str) -> CheckResult:
    return CheckResult("vm1", promise, promise, outcome, expected="a", seen="b", todo="c")


def test_a_machine_on_which_all_is_kept_is_told_as_any_that_was_checked(checks: Checks) -> None:
    checks._tell(result("it runs", "passed"))  # noqa: SLF001 - the checking process calls it
    assert checks.trying
    assert len(checks._run.events) == 1, "nothing is told before all is known"  # noqa: SLF001
    checks._tell(Finished("vm1", 1.0))  # noqa: SLF001

    assert not checks.trying
    assert "it runs" in checks._run.steps  # noqa: SLF001
    assert [one.promise for one in checks.results] == ["it runs"]
    assert checks._run.over == ["vm1"]  # noqa: SLF001


def test_a_machine_that_drifted_is_told_once_with_the_promises(checks: Checks) -> None:
    for said in (result("it runs", "failed"), result("it is held", "passed"), Finished("vm1", 1.0)):
        checks._tell(said)  # noqa: SLF001

    [event] = [one for one in checks._run.events if one.step == DRIFTED]  # noqa: SLF001
    assert event.notes == ("not as it was left: it runs",)
    assert not event.reasons, "its roles may mend it"
    assert checks.results == []


def test_a_note_that_roles_would_do_something_about_has_them_run(checks: Checks) -> None:
    noted = replace(result("the depot is asked", "passed"), detail=f"{NOTE}no: {AGAIN}")
    for said in (replace(result("it runs", "passed"), detail=f"{NOTE}slow"), noted):
        checks._tell(said)  # noqa: SLF001
    checks._tell(Finished("vm1", 1.0))  # noqa: SLF001

    [event] = [one for one in checks._run.events if one.step == DRIFTED]  # noqa: SLF001
    assert event.notes == ("not as it was left: the depot is asked",)


def test_a_machine_out_of_reach_has_no_roles_to_run(checks: Checks) -> None:
    for said in (result("it answers", "unreachable"), Finished("vm1", 1.0)):
        checks._tell(said)  # noqa: SLF001

    assert checks._run.events[1].kind is Kind.UNREACHABLE  # noqa: SLF001
    assert DRIFTED not in checks._run.steps  # noqa: SLF001


def test_what_a_seat_shows_counts_in_a_trial_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place("vm1", "vm1", "vm1", 4789, 1500, 1500)
    silent = {"7946/udp": {"sent": 40, "answered": 0, "error": ""}}

    def run(proof: Proof) -> None:
        for name, mate in (("vm1", "vm2"), ("vm2", "vm1")):
            proof.counts[name] = Count(replace(place, name=name), {mate: silent}, [], [])

    monkeypatch.setattr(verify, "Verifier", Idle)
    monkeypatch.setattr(Proof, "run", run)
    both = tuple(replace(machine(name), seat="seat01") for name in ("vm1", "vm2"))
    told = Told()
    told.machines = {one.name: one for one in both}
    known = Class(tmp_path, both, ("vm1", "vm2"), {}, (), {})
    with Checks(told, known, tmp_path, 2) as checks:  # type: ignore[arg-type]
        checks.try_first(both[0])
        for name in told.machines:
            checks._tell(replace(result("it runs", "passed"), machine=name))  # noqa: SLF001
            checks._tell(Finished(name, 1.0))  # noqa: SLF001
        while checks.busy:
            threading.Event().wait(0.01)
        checks.tell_unproven()

    [drift] = [one for one in told.events if one.step == DRIFTED]
    assert drift.machine == "vm1"
    assert "a swarm's packets pass to and from: vm2" in drift.notes[0]
    assert told.over == ["vm2"]
    [late] = [one for one in checks.results if one.check.startswith("packets.py")]
    assert (late.machine, late.outcome) == ("vm2", "skipped")


class Plays(list[list[str]]):
    """The playbook runs that were started, which go on until `over` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.over = threading.Event()

    def run(self, play: Play, _put: object, _stop: Stop) -> None:
        self.append(list(play.machines))
        self.over.wait(5)


@pytest.fixture
def plays(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plays]:
    plays = Plays()
    monkeypatch.setattr(provision, "run_playbook", plays.run)
    yield plays
    plays.over.set()


@pytest.fixture
def roles(tmp_path: Path, plays: Plays) -> Iterator[Roles]:
    play = Play(tmp_path, tmp_path, (), tmp_path, {}, forks=50)
    with (
        Record(tmp_path, "provision") as record,
        Roles(Told(), play, record, Stop()) as roles,  # type: ignore[arg-type]
    ):
        yield roles
        plays.over.set()


def started(plays: Plays, count: int) -> Plays:
    for _ in range(200):
        if len(plays) == count:
            break
        threading.Event().wait(0.01)
    return plays


def test_all_that_wait_share_a_run(roles: Roles, plays: Plays) -> None:
    for name in ("vm1", "vm2"):
        roles.submit(machine(name))
    roles.start()

    assert started(plays, 1) == [["vm1", "vm2"]]
    assert roles.busy


def test_a_machine_waits_a_moment_for_others_and_for_no_run(
    roles: Roles, plays: Plays, monkeypatch: pytest.MonkeyPatch
) -> None:
    roles.submit(machine("vm1"))
    roles.start(more_to_come=True)
    assert plays == []
    roles.submit(machine("vm2"))
    monkeypatch.setattr(provision, "GATHER_SECONDS", 0.0)
    roles.start(more_to_come=True)
    roles.submit(machine("vm3"))
    roles.start()

    assert sorted(started(plays, 2)) == [["vm1", "vm2"], ["vm3"]]


def test_a_run_that_is_being_stopped_starts_nothing_more(roles: Roles, plays: Plays) -> None:
    roles._stop.asked = True  # noqa: SLF001 - a signal sets it
    roles.submit(machine("vm1"))
    roles.start()

    assert plays == []
    assert not roles.busy


def test_roles_are_handed_the_depot_and_the_lock(tmp_path: Path) -> None:
    url = "http://[2001:db8::2]:5080"
    one = replace(machine("vm1"), inputs={**INPUTS, "preflight_depot": url})
    depot = Depot(machine("depot"), url, local=False)
    known = Class(tmp_path, (one,), ("vm1",), {}, (), {}, depot)
    write_lock(tmp_path, {"ubuntu:24.04": Locked("sha256:aa", {})})

    handed = provision.handed_over(known, {})

    assert handed["preflight_depot"] == url
    assert handed["images_lock"] == {"ubuntu:24.04": "sha256:aa"}


def test_what_the_inventory_says_of_a_depot_elsewhere_comes_first(tmp_path: Path) -> None:
    one = replace(machine("vm1"), inputs={**INPUTS, "preflight_depot": "http://elsewhere:5080"})

    assert "preflight_depot" not in provision.handed_over(
        Class(tmp_path, (one,), ("vm1",), {}, (), {}), {}
    )
