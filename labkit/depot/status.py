"""The verb `depot status`: what the depot has, what this class lacks there, what it served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.classroom import Class, Depot, Request, read_class
from labkit.depot.orders import look, require_depot
from labkit.depot.stock.names import read_name
from labkit.depot.wanted import wanted
from labkit.lock import Locked, read_lock
from labkit.scratch import run_directory

UNLOCKED = "is not in the store; `labkit depot seed` puts it there"


@dataclass(frozen=True, slots=True)
class Served:
    """Requests of one kind: those answered from what is kept, fetched first, or passed on."""

    requests: int
    bytes: int
    hit: int
    miss: int
    through: int


@dataclass(frozen=True, slots=True)
class Status:
    """
    A depot as it is; sizes in bytes.

    `services` is unit → systemd's word for it, `images` the store's repositories with their
    tags, `missing` the class's references that the store lacks, each with what it lacks,
    `damaged` digest → what is wrong with it, `kept` the disk that store, pull-through and packages
    take, `served` what it answered, by kind.
    """

    machine: str
    url: str
    there: bool
    services: Mapping[str, str]
    images: Mapping[str, list[str]]
    missing: Mapping[str, str]
    damaged: Mapping[str, str]
    kept: Mapping[str, int]
    served: Mapping[str, Served]
    free: int

    @property
    def serves(self) -> bool:
        """Whether the store and nginx run; the pull-through is nothing that it could not lack."""
        return all(
            self.services.get(unit) == "active"
            for unit in ("labkit-depot-store", "labkit-depot-nginx")
        )


def status(request: Request) -> Status:
    """
    Ask the depot, changing nothing.

    Raises:
        BadInput: The class has no depot, or the inventory cannot be read.
        LabkitError: The depot does not answer.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        depot = require_depot(known)
        said = look(depot, scratch)
    return _read(known, depot, said)


def _read(known: Class, depot: Depot, said: Mapping[str, Any]) -> Status:
    return Status(
        machine=depot.machine.name,
        url=depot.url,
        there=bool(said["there"]),
        services=said["services"],
        images={name: sorted(tags) for name, tags in said.get("tags", {}).items()},
        missing=missing(needed(known), said),
        damaged={one["digest"]: one["wrong"] for one in said.get("damaged", ())},
        kept=said.get("kept", {}),
        served={kind: Served(**one) for kind, one in said.get("served", {}).items()},
        free=int(said.get("free", 0)),
    )


def needed(known: Class) -> dict[str, Locked | None]:
    """
    Return each reference that the class needs → what it is locked to, None where it is not.

    What builds begin with counts, and what the class has dropped does not, though it is locked.
    """
    lock = read_lock(known.directory)
    return {reference: lock.get(reference) for reference in wanted(known.machines, {})}


def missing(references: Mapping[str, Locked | None], said: Mapping[str, Any]) -> dict[str, str]:
    """Return which references a store that says this cannot serve, each with what it lacks."""
    return {
        reference: why
        for reference, locked in references.items()
        for why in _lacks(reference, locked, said)
    }


def _lacks(reference: str, locked: Locked | None, said: Mapping[str, Any]) -> Iterator[str]:
    name = read_name(reference)
    held = said.get("held", {}).get(name.repository, ())
    if locked is None:
        tags = said.get("tags", {}).get(name.repository, {})
        if tags.get(name.wanted, name.wanted) not in held:
            yield UNLOCKED
        return
    needed = [locked.digest, *(one.digest for one in locked.platforms.values())]
    if absent := [digest for digest in dict.fromkeys(needed) if digest not in held]:
        yield f"lacks {', '.join(absent)}"
