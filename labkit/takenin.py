"""Which machines their seat's first one may still take into a swarm, before they are checked."""

from collections.abc import Collection, Mapping

from labkit.classroom import Machine
from labkit.events import Event, Kind
from labkit.verdicts import PROVISIONED


class TakenIn:
    """
    Holds machines back whose roles are behind them, while their seat's first one is at work.

    Only where a class asks for swarms that are made: of two machines the one that comes later
    does the joining (roles/swarm_node/tasks/swarm.yml), so one that comes before the first is
    complete when that one is. `at_work` are the machines on which roles were begun, so far.
    """

    def __init__(self, machines: Mapping[str, Machine], at_work: Collection[str]) -> None:
        self._machines, self._at_work = machines, at_work
        self._firsts = {one.seat: one.name for one in machines.values() if one.number == 1}
        self._over: set[str] = set()
        self._held: dict[str, list[Machine]] = {}

    def after(self, event: Event) -> list[Machine]:
        """Return the machines that are complete after an event."""
        machine = self._machines[event.machine]
        first = self._firsts.get(machine.seat)
        over = event.kind in {Kind.FAILED, Kind.UNREACHABLE}
        if over or event.step == PROVISIONED:
            self._over.add(machine.name)
        if over:
            return self._held.pop(machine.seat, []) if machine.name == first else []
        if event.step != PROVISIONED or event.kind is not Kind.OK:
            return []
        if machine.inputs.get("swarm_node_state") != "joined" or not first:
            return [machine]
        if machine.name != first and first in self._at_work and first not in self._over:
            self._held.setdefault(machine.seat, []).append(machine)
            return []
        return [machine, *self._held.pop(machine.seat, [])]
