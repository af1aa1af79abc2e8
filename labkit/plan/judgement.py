"""Whether a plan can work, and what to do where it cannot; pure, with its numbers in the texts."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from labkit.depot.stock.registry import RegistryError
from labkit.depot.stock.upstream import Limits
from labkit.errors import LabkitError
from labkit.plan.line import Speed
from labkit.plan.loads import Load, Stock, Totals
from labkit.plan.outcome import Plan, Warned
from labkit.quantities import allowance

# A class is provisioned on an evening, with time left to mend what is wrong.
LONGEST_HOURS = 2
REFUSALS = range(400, 500)


def judge_machines(loads: Iterable[Load], away: Mapping[str, str]) -> Iterator[Warned]:
    """Yield what machines cannot do: `away` has machine → what ssh said."""
    for machine, said in away.items():
        yield Warned(
            machine,
            f"it says nothing, and is not in these numbers: {said}",
            "switch it on, mend the way to it, or leave it out with --limit",
        )
    for one in loads:
        if one.disk_found < one.disk_needed:
            yield Warned(
                one.machine,
                f"{one.disk_found} MiB free at {one.disk}, {one.disk_needed} needed",
                "free some, give it a larger disk, or remove images (images_pull)",
            )


def judge_images(unknown: Mapping[str, LabkitError | None]) -> Iterator[Warned]:
    """Yield the images whose size nobody told: reference → the registry's answer, if any."""
    together: dict[Warned, list[str]] = {}
    for reference, error in unknown.items():
        together.setdefault(_unknown(error), []).append(reference)
    for warned, names in together.items():
        yield replace(warned, about=", ".join(names))


def _unknown(error: LabkitError | None) -> Warned:
    """Return what is to be said of an image, or of several that one registry keeps quiet about."""
    if error is None:
        todo = "take one that is made for it (images_pull)"
        return Warned("", "there is none for the architecture of a machine", todo)
    # What a registry refuses it refuses tomorrow; one that is away may be back.
    silent = isinstance(error, RegistryError) and error.status not in REFUSALS
    return Warned("", f"size not known: {error.message}", error.hint or "", stops=not silent)


def judge_class(plan: Plan) -> Iterator[Warned]:
    """Yield what stands against the class as a whole, as it is: with its depot, or without."""
    yield from judge_depot(plan.depot)
    yield from judge_hub(plan.totals, plan.limits, depot=plan.has_depot)
    less = None if plan.has_depot else plan.amount(depot=True)
    yield from judge_line(plan.speed, plan.amount(depot=plan.has_depot), less)


def judge_hub(totals: Totals, limits: Limits, *, depot: bool) -> Iterator[Warned]:
    """Yield whether Docker Hub will stop answering; machines behind one address share its limit."""
    needed = totals.depot_pulls if depot else totals.direct_pulls
    left = limits.remaining
    if left is None or needed <= left:
        return
    count = f"{needed} pulls are needed, {allowance(limits)}"
    help_ = (
        "seed with a Hub account (labkit depot seed --hub-user), or when the window is over"
        if depot
        else f"add a depot, which needs {totals.depot_pulls} (docs/depot.md), or remove images"
    )
    yield Warned("Docker Hub", f"{count} for this address", help_)


def judge_depot(stock: Stock | None) -> Iterator[Warned]:
    """Yield whether the depot can hold all."""
    if stock and stock.disk_found < stock.disk_needed:
        yield Warned(
            stock.machine,
            f"{stock.disk_found} MiB free at {stock.disk}, {stock.disk_needed} needed with "
            "depot_packages_mb and depot_reserve_mb",
            "free some, give the depot a larger disk, or remove images (images_pull)",
        )


def judge_line(speed: Speed, amount: int, less: int | None) -> Iterator[Warned]:
    """Yield whether the line takes too long for `amount` bytes, and how long for `less`."""
    minutes = speed.minutes(amount) or 0
    if minutes <= LONGEST_HOURS * 60:
        return
    rate = speed.rate * 8 / 10**6
    quicker = speed.minutes(less) if less is not None else None
    yield Warned(
        "the line",
        f"{minutes / 60:.1f} hours at {rate:.1f} Mbit/s for {amount / 10**9:.1f} GB, more than "
        f"{LONGEST_HOURS}",
        f"add a depot: {quicker / 60:.1f} hours (docs/depot.md), or remove images"
        if quicker is not None
        else "begin the day before, seed elsewhere (labkit depot bundle), or remove images",
    )
