"""Who is told what happens in a rehearsal; called from many threads."""

from collections.abc import Callable
from dataclasses import dataclass

from labkit.verifier import CheckResult


@dataclass(frozen=True, slots=True)
class Audience:
    """
    Three ears: for results, for steps that begin, and for machines that are done with.

    `begin` is called with machine, part and step.
    """

    tell: Callable[[CheckResult], None]
    begin: Callable[[str, str, str], None]
    done: Callable[[str], None]
