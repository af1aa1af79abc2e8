"""What `depot status` says of a depot, line by line."""

from collections.abc import Iterator

from labkit.depot.status import Status
from labkit.quantities import size


def lines(status: Status) -> Iterator[str]:
    """Yield the lines, what is missing last: that is what the instructor has to do about."""
    if not status.there:
        yield f"{status.machine} is no depot yet: labkit depot up makes it one"
        return
    yield f"{status.machine}  {status.url}"
    for unit, state in status.services.items():
        yield f"  {unit}  {state}"
    for repository, tags in status.images.items():
        yield f"  holds   {repository}  {' '.join(tags)}".rstrip()
    kept = ", ".join(f"{what} {size(number)}" for what, number in status.kept.items())
    yield f"  keeps   {kept}; {size(status.free)} of disk left"
    for kind, one in status.served.items():
        passed = f", {one.through} passed on" if one.through else ""
        found = f"{one.hit} hits, {one.miss} misses{passed}"
        yield f"  served  {kind}: {size(one.bytes)} in {one.requests} requests, {found}"
    for digest, why in status.damaged.items():
        yield f"  damaged {digest}  {why}; labkit depot seed mends it"
    for reference, why in status.missing.items():
        yield f"  missing {reference}  {why}"
    if not status.missing:
        yield "  nothing that this class needs is missing"
