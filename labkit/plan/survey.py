"""Looks about for a plan: at the images' registries, the depot's store, and the line."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.classroom import Class, Machine
from labkit.depot.stock.names import HUB
from labkit.depot.stock.registry import RegistryError
from labkit.depot.stock.upstream import UNTOLD, Limits, limits
from labkit.depot.wanted import USUAL, wanted
from labkit.errors import LabkitError
from labkit.lock import NAME, read_lock
from labkit.plan.line import Speed, measure
from labkit.plan.loads import Load, Stock, distinct, load, stock
from labkit.plan.outcome import Warned
from labkit.plan.question import ask, ask_all
from labkit.plan.sizes import Sized, Sizes, Ways, by_lock, by_registry, find_ways
from labkit.post import Lost

MANIFESTS = "the registries' manifests"


@dataclass(frozen=True, slots=True)
class Images:
    """The images' sizes, where they are from, and reference → why nobody told them."""

    sizes: Sizes
    source: str
    wrong: Mapping[str, LabkitError]


class Survey:
    """What one plan finds out, of one class's chosen machines; `scratch` is its own folder."""

    def __init__(self, known: Class, machines: Sequence[Machine], scratch: Path) -> None:
        self._known, self._scratch = known, scratch
        self._machines = {one.name: one for one in machines}
        self._references = {one.name: tuple(wanted([one], {})) for one in machines}
        self._wanted = dict.fromkeys(name for own in self._references.values() for name in own)
        self._kept = known.directory / ".labkit" / "manifests"
        self._ways = self._find_ways(machines[0].inputs)

    def machines(self, forks: int | None) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
        """Return what each machine says of itself, and why the others say nothing."""
        answers = ask_all(self._machines.values(), {}, self._scratch, forks)
        away = {name: str(one) for name, one in answers.items() if isinstance(one, Lost)}
        return {name: one for name, one in answers.items() if not isinstance(one, Lost)}, away

    def loads(self, seen: Mapping[str, Any], images: Images) -> tuple[Load, ...]:
        """Return what each machine lacks that answered, also of what its builds begin with."""
        return tuple(
            load(one, self._references[name], seen[name], images.sizes)
            for name, one in self._machines.items()
            if name in seen
        )

    def images(self, architectures: Collection[str]) -> Images:
        """Return the images' sizes, by the lock, and by the registries for those that it lacks."""
        architectures = architectures or {USUAL}
        lock = by_lock(read_lock(self._known.directory))
        lacking = [
            name for name in self._wanted if any((name, kind) not in lock for kind in architectures)
        ]
        if not lacking:
            return Images(lock, NAME, {})
        sizes, wrong = by_registry(lacking, architectures, self._ways, self._kept)
        return Images({**sizes, **lock}, f"{NAME} and {MANIFESTS}" if lock else MANIFESTS, wrong)

    def depot(self, loads: Sequence[Load]) -> tuple[Stock | None, list[Warned]]:
        """Return what the depot has to fetch; or a warning that it does not answer."""
        if self._known.depot is None:
            return None, []
        missing = [image for one in loads for image in one.missing]
        machine = self._known.depot.machine
        told = {"directory": machine.inputs["depot_directory"], "blobs": sorted(distinct(missing))}
        try:
            seen = ask(machine, told, self._scratch, local=self._known.depot.local)
        except Lost as error:
            todo = "switch it on, or mend the way to it; machines go on without it, each for itself"
            said = f"the depot says nothing, and is taken for empty: {error}"
            return None, [Warned(machine.name, said, todo)]
        return stock(machine.name, machine.inputs, seen, missing), []

    def speed(self, loads: Sequence[Load]) -> Speed:
        """Measure where the downloads will arrive: at the depot, else at the first machine."""
        if not loads:
            return Speed(0, "not measured: no machine answers")
        depot = self._known.depot
        machine = depot.machine if depot else self._machines[loads[0].machine]
        local = bool(depot and depot.local)
        return measure(
            self._sample(loads),
            self._ways.upstreams,
            machine.name,
            lambda told: ask(machine, told, self._scratch, local=local),
        )

    def limits(self) -> Limits:
        """Return Docker Hub's counters, as far as it tells them."""
        try:
            return UNTOLD if HUB in self._ways.away else limits(self._ways.upstreams)
        except RegistryError:
            return UNTOLD

    def _find_ways(self, inputs: Mapping[str, object]) -> Ways:
        daemon = inputs.get("docker_engine_daemon")
        mirrors = daemon.get("registry-mirrors") if isinstance(daemon, dict) else None
        mine = self._known.depot.machine.inputs if self._known.depot else inputs
        upstreams = mine.get("depot_upstreams")
        return find_ways(
            self._wanted, upstreams if isinstance(upstreams, dict) else {}, mirrors or []
        )

    def _sample(self, loads: Sequence[Load]) -> Sized | None:
        """Return the largest image that a machine lacks, with its layers, which no lock has."""
        missing = [(image, one.architecture) for one in loads for image in one.missing]
        if not missing:
            return None
        image, kind = max(missing, key=lambda one: one[0].bytes)
        if not image.pinned:
            return image
        sizes, _ = by_registry([image.reference], {kind}, self._ways, self._kept)
        return sizes.get((image.reference, kind))
