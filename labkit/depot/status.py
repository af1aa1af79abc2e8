"""The verb `depot status`: what the depot has, what this class lacks there, what it served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.classroom import Class, Depot, Request, read_class
from labkit.depot.orders import look
from labkit.depot.stock.names import read_name
from labkit.errors import BadInput
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


def require_depot(known: Class) -> Depot:
    """
    Return the class's depot.

    Raises:
        BadInput: The inventory has none.
    """
    if known.depot is None:
        raise BadInput(
            "this class has no depot",
            "name its machine in a group [depot] of the inventory, as: depot ansible_host=…",
        )
    return known.depot


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
        missing=missing(wanted(known), said),
        damaged={one["digest"]: one["wrong"] for one in said.get("damaged", ())},
        kept=said.get("kept", {}),
        served={kind: Served(**one) for kind, one in said.get("served", {}).items()},
        free=int(said.get("free", 0)),
    )


def wanted(known: Class) -> dict[str, Locked | None]:
    """Return each reference that the class needs → what it is locked to, None where it is not."""
    lock = read_lock(known.directory)
    pulled = {
        str(image["reference"]): lock.get(str(image["reference"]))
        for machine in known.machines
        for image in machine.inputs.get("images_pull") or ()
    }
    return {**pulled, **lock}


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
