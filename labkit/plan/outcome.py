"""What a plan comes to: all numbers, and what stands against it."""

from dataclasses import dataclass

from labkit.depot.stock.upstream import Limits
from labkit.plan.line import Speed
from labkit.plan.loads import Load, Stock, Totals


@dataclass(frozen=True, slots=True)
class Warned:
    """What is wrong, with numbers, and what to do; `stops` where it cannot work so."""

    about: str
    what: str
    todo: str
    stops: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """
    All that a plan found out.

    `packages` are bytes without and with a depot; `source` tells where the sizes of images are
    from.
    """

    loads: tuple[Load, ...]
    depot: Stock | None
    # There is one in the inventory, whether it answers or not.
    has_depot: bool
    totals: Totals
    packages: tuple[int, int]
    limits: Limits
    speed: Speed
    source: str
    warnings: tuple[Warned, ...] = ()

    @property
    def works(self) -> bool:
        """Whether nothing stands against it."""
        return not any(one.stops for one in self.warnings)

    def amount(self, *, depot: bool) -> int:
        """Return all bytes that the internet's line carries."""
        images = self.totals.depot_bytes if depot else self.totals.direct_bytes
        return images + self.packages[depot]
