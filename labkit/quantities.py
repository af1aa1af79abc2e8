"""Bytes, and what Docker Hub allows, as people say them."""

from labkit.depot.stock.upstream import Limits

UNITS = ("B", "kB", "MB", "GB", "TB")
THOUSAND = 1000
HOUR = 3600


def size(number: float) -> str:
    """Return a number of bytes as one reads it, in decimal units as Docker counts."""
    for unit in UNITS[:-1]:
        if number < THOUSAND:
            return f"{number:.0f} {unit}" if unit in UNITS[:3] else f"{number:.1f} {unit}"
        number /= THOUSAND
    return f"{number:.1f} {UNITS[-1]}"


def allowance(limits: Limits) -> str:
    """Return how many pulls are left, which all machines behind one address share."""
    if limits.remaining is None:
        return "no limit is told"
    of = "" if limits.limit is None else f" of {limits.limit}"
    window = f" per {limits.seconds / HOUR:.0f} hours" if limits.seconds else ""
    return f"{limits.remaining}{of}{window} are left"
