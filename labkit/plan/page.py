"""What a plan says, as text: a row for each machine, the totals, and as objects for scripts."""

from collections.abc import Iterator
from dataclasses import asdict

from labkit.plan.line import PACKAGES_SOURCE
from labkit.plan.outcome import Plan
from labkit.quantities import allowance, size

HEAD = ("machine", "architecture", "images there", "to fetch", "MB", "disk free / needed, MiB")
MB = 10**6


def rows(plan: Plan) -> list[tuple[str, ...]]:
    """Return a row for each machine."""
    return [
        (
            one.machine,
            one.architecture,
            str(len(one.present)),
            str(len(one.missing)) + (f" + {len(one.unknown)}?" if one.unknown else ""),
            f"{one.bytes / MB:.0f}" + (" + ?" if one.unknown else ""),
            f"{one.disk_found} / {one.disk_needed}",
        )
        for one in plan.loads
    ]


def lines(plan: Plan) -> Iterator[str]:
    """Yield what the class as a whole takes."""
    totals, (direct, once) = plan.totals, plan.packages
    named = "with the depot" if plan.has_depot else "with a depot"
    unknown = any(one.unknown for one in plan.loads)
    yield f"images, by {plan.source}{', without those of unknown size' if unknown else ''}:"
    yield f"  without a depot  {size(totals.direct_bytes)} over the internet's line"
    yield f"  {named}{' ' * (17 - len(named))}{size(totals.depot_bytes)}"
    yield f"packages and modules: {size(direct)} without, {size(once)} {named}"
    yield f"  {PACKAGES_SOURCE}"
    yield (
        f"Docker Hub: {totals.direct_pulls} pulls without a depot, {totals.depot_pulls} {named}; "
        f"{_left(plan)}"
    )
    if plan.depot:
        one = plan.depot
        yield f"the depot's disk: {one.disk_found} MiB free at {one.disk}, {one.disk_needed} needed"
    yield from _time(plan, named)


def objects(plan: Plan) -> Iterator[dict[str, object]]:
    """Yield each machine, the class, and each warning, as `--json` prints them."""
    for one in plan.loads:
        missing = [{"reference": image.reference, "bytes": image.bytes} for image in one.missing]
        yield {"type": "machine", **asdict(one), "missing": missing, "bytes": one.bytes}
    yield {
        "type": "class",
        "depot": asdict(plan.depot) if plan.depot else None,
        **asdict(plan.totals),
        "packages_direct_bytes": plan.packages[0],
        "packages_depot_bytes": plan.packages[1],
        "packages_source": PACKAGES_SOURCE,
        "hub": plan.limits._asdict(),
        "bytes_per_second": round(plan.speed.rate),
        "measured": plan.speed.told,
        "minutes_direct": plan.speed.minutes(plan.amount(depot=False)),
        "minutes_depot": plan.speed.minutes(plan.amount(depot=True)),
        "source": plan.source,
        "works": plan.works,
    }
    for warned in plan.warnings:
        yield {"type": "warning", **asdict(warned)}


def _left(plan: Plan) -> str:
    told = allowance(plan.limits)
    if plan.limits.remaining is None:
        return told
    return f"{told} for this address, which all machines behind it share"


def _time(plan: Plan, named: str) -> Iterator[str]:
    """Yield what the line would take: between machines and a depot it is their own network."""
    if not plan.speed.rate:
        yield f"time: {plan.speed.told}"
        return
    direct, once = (plan.speed.minutes(plan.amount(depot=one)) or 0 for one in (False, True))
    rate = plan.speed.rate * 8 / MB
    yield (
        f"time at {rate:.0f} Mbit/s: {direct:.0f} min without a depot, {once:.0f} min {named}, and "
        "what unpacking takes"
    )
    yield f"  {plan.speed.told}"
