"""Where swarms are asked for, a machine counts when its seat's first one has come, too."""

import pytest

from labkit.classroom import Machine
from labkit.events import Event, Kind
from labkit.ssh import Connection
from labkit.takenin import TakenIn
from labkit.verdicts import PROVISIONED


def machine(number: int, state: str) -> Machine:
    inputs = {"swarm_node_state": state}
    return Machine(f"vm{number}", "a", number, Connection("h"), inputs)


def after(state: str, *events: tuple[str, Kind], at_work: set[str]) -> list[list[str]]:
    """Return who is complete after each event."""
    machines = {one.name: one for one in (machine(number, state) for number in (1, 2, 3))}
    taken_in = TakenIn(machines, at_work)
    steps = {Kind.OK: PROVISIONED}
    return [
        [one.name for one in taken_in.after(Event(kind, name, steps.get(kind, "Do something")))]
        for name, kind in events
    ]


ALL = {"vm1", "vm2", "vm3"}
ORDER = [("vm2", Kind.OK), ("vm3", Kind.OK), ("vm1", Kind.OK)]


def test_without_swarms_nobody_waits() -> None:
    assert after("ready", *ORDER, at_work=ALL) == [["vm2"], ["vm3"], ["vm1"]]


def test_who_comes_before_the_first_machine_counts_with_it() -> None:
    assert after("joined", *ORDER, at_work=ALL) == [[], [], ["vm1", "vm2", "vm3"]]


def test_who_comes_after_the_first_machine_counts_at_once() -> None:
    assert after("joined", *ORDER[::-1], at_work=ALL) == [["vm1"], ["vm3"], ["vm2"]]


@pytest.mark.parametrize("end", [Kind.FAILED, Kind.UNREACHABLE])
def test_a_first_machine_that_fails_keeps_nobody(end: Kind) -> None:
    events = [("vm2", Kind.OK), ("vm1", end), ("vm3", Kind.OK)]

    assert after("joined", *events, at_work=ALL) == [[], ["vm2"], ["vm3"]]


def test_a_first_machine_on_which_no_role_runs_is_not_waited_for() -> None:
    assert after("joined", ("vm2", Kind.OK), at_work={"vm2"}) == [["vm2"]]
