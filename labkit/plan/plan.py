"""The verb `plan`: find out what a class will take, before anything starts, and change nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from labkit.classroom import Class, Machine, Request, read_class
from labkit.depot.stock.registry import RegistryError
from labkit.depot.stock.upstream import Limits, limits
from labkit.errors import LabkitError
from labkit.lock import NAME, read_lock
from labkit.plan import judgement
from labkit.plan.judgement import Warned
from labkit.plan.line import Speed, measure, packages
from labkit.plan.loads import Load, Stock, distinct, load, references, stock, totals
from labkit.plan.page import Plan
from labkit.plan.question import NoAnswer, ask, ask_all, asking
from labkit.plan.sizes import Sized, Sizes, by_lock, by_registry, reachable
from labkit.run import choose
from labkit.scratch import run_directory

UNTOLD = Limits(None, None, None)
USUAL_ARCHITECTURE = "amd64"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of images: their sizes, where from, and what nobody told."""

    sizes: Sizes
    source: str
    wrong: Mapping[str, LabkitError]
    upstreams: Mapping[str, str]


def make_plan(
    request: Request, *, forks: int | None = None, retry_failed: bool = False
) -> Plan | None:
    """
    Return the plan of the chosen machines; None if nothing was left to retry.

    Raises:
        BadInput: No machine was asked anything.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        machines = choose(known, retry_failed=retry_failed)
        if not machines:
            return None
        lock = by_lock(read_lock(known.directory))
        answers = ask_all(machines, {}, scratch, forks)
        seen = {name: one for name, one in answers.items() if not isinstance(one, NoAnswer)}
        away = {name: str(one) for name, one in answers.items() if isinstance(one, NoAnswer)}
        images = _images(known, machines, seen, lock)
        loads = tuple(
            load(one.name, one.seat, one.inputs, seen[one.name], images.sizes)
            for one in machines
            if one.name in seen
        )
        held, wrong = _depot(known, loads, scratch)
        speed = _speed(known, machines, loads, images, scratch)
    return _conclude(known, loads, held, images, speed, [*wrong, *judgement.judge_machines(loads, away)])


def _images(
    known: Class, machines: Sequence[Machine], seen: Mapping[str, Any], lock: Sizes
) -> Known:
    """Return the images' sizes by the lock, and by the registries for those that it lacks."""
    architectures = {one["architecture"] for one in seen.values()} or {USUAL_ARCHITECTURE}
    wanted = {name: None for one in machines for name in references(one.inputs)}
    lacking = [
        name for name in wanted if any((name, kind) not in lock for kind in architectures)
    ]
    upstreams = _upstreams(known, machines)
    if not lacking:
        return Known(lock, NAME, {}, upstreams)
    sizes, wrong = by_registry(
        lacking, architectures, upstreams, known.directory / ".labkit" / "manifests"
    )
    source = f"{NAME}, and the registries' manifests" if lock else "the registries' manifests"
    return Known({**sizes, **lock}, source, wrong, upstreams)


def _upstreams(known: Class, machines: Sequence[Machine]) -> dict[str, str]:
    inputs = known.depot.machine.inputs if known.depot else machines[0].inputs
    mirrors = (machines[0].inputs.get("docker_engine_daemon") or {}).get("registry-mirrors") or []
    return reachable(inputs.get("depot_upstreams") or {}, mirrors)


def _depot(
    known: Class, loads: Sequence[Load], scratch: Path
) -> tuple[Stock | None, list[Warned]]:
    """Return what the depot has to fetch, or that it does not answer."""
    if not known.depot:
        return None, []
    missing = [image for one in loads for image in one.missing]
    inputs = known.depot.machine.inputs
    told = {"directory": inputs["depot_directory"], "blobs": sorted(distinct(missing))}
    try:
        seen = asking(known.depot, scratch)(told)
    except NoAnswer as error:
        todo = "switch it on, or mend the way to it; machines go on without it, each for itself"
        said = f"the depot says nothing; it is taken for empty: {error}"
        return None, [Warned(known.depot.machine.name, said, todo)]
    return stock(known.depot.machine.name, inputs, seen, missing), []


def _speed(
    known: Class,
    machines: Sequence[Machine],
    loads: Sequence[Load],
    images: Known,
    scratch: Path,
) -> Speed:
    """Measure where the class's downloads will arrive: at the depot, else at its first machine."""
    sample = _sample(loads, images)
    if known.depot:
        return measure(sample, images.upstreams, "the depot", asking(known.depot, scratch))
    reached = {one.machine for one in loads}
    first = next((one for one in machines if one.name in reached), None)
    if first is None:
        return Speed(0, "not measured: no machine answers")
    return measure(
        sample, images.upstreams, first.name, lambda told: ask(first, told, scratch)
    )


def _sample(loads: Sequence[Load], images: Known) -> Sized | None:
    """Return the largest image that is to be fetched; of one in a lock no layer is known."""
    # A lock names no layers: a manifest is all that could be fetched by it.
    missing = [image for one in loads for image in one.missing if not image.pinned]
    return max(missing, key=lambda image: image.bytes, default=None) if images.sizes else None


def _conclude(
    known: Class,
    loads: tuple[Load, ...],
    held: Stock | None,
    images: Known,
    speed: Speed,
    warnings: Sequence[Warned],
) -> Plan:
    """Return the plan with all that stands against it."""
    has_depot = known.depot is not None
    systems = [one.system for one in loads]
    try:
        left = limits(images.upstreams)
    except RegistryError:
        left = UNTOLD
    plan = Plan(
        loads,
        held,
        has_depot,
        totals(loads, held),
        (packages(systems, once=False), packages(systems, once=True)),
        left,
        speed,
        images.source,
        (),
    )
    unknown = {name: images.wrong.get(name) for one in loads for name in one.unknown}
    found = (
        *warnings,
        *judgement.judge_images(unknown),
        *judgement.judge_depot(held),
        *judgement.judge_hub(plan.totals, left, depot=has_depot),
        *judgement.judge_line(
            speed,
            plan.amount(depot=has_depot),
            None if has_depot else plan.amount(depot=True),
        ),
    )
    return replace(plan, warnings=found)
