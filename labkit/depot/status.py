"""The verb `depot status`: what the depot has, what this class lacks there, what it served."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.classroom import Class, Depot, Request, read_class
from labkit.depot.asking import ask
from labkit.errors import BadInput
from labkit.lock import Locked, read_lock
from labkit.scratch import run_directory

PROGRAM = Path(__file__).with_name("account.py")
HUB = ("docker.io", "index.docker.io")
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
    tags, `missing` the class's references that the store lacks, each with what it lacks, `kept`
    the disk that store, pull-through and packages take, `served` what it answered, by kind.
    """

    machine: str
    url: str
    there: bool
    services: Mapping[str, str]
    images: Mapping[str, list[str]]
    missing: Mapping[str, str]
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
        question = {"directory": str(depot.machine.inputs["depot_directory"])}
        said = ask(depot, PROGRAM, question, scratch)
    return _read(known, depot, said)


def _read(known: Class, depot: Depot, said: Mapping[str, Any]) -> Status:
    images = said.get("images", {})
    return Status(
        machine=depot.machine.name,
        url=depot.url,
        there=bool(said["there"]),
        services=said["services"],
        images={name: sorted(one["tags"]) for name, one in images.items()},
        missing=missing(wanted(known), images),
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


def missing(
    references: Mapping[str, Locked | None], images: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Return which references a store cannot serve, each with what it lacks."""
    return {
        reference: why
        for reference, locked in references.items()
        for why in _lacks(reference, locked, images)
    }


def _lacks(
    reference: str, locked: Locked | None, images: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    name, version = stored_as(reference)
    there = images.get(name, {"tags": {}, "digests": []})
    if locked is None:
        if version not in there["tags"] and version not in there["digests"]:
            yield UNLOCKED
        return
    needed = [locked.digest, *(one.digest for one in locked.platforms.values())]
    if absent := [digest for digest in dict.fromkeys(needed) if digest not in there["digests"]]:
        yield f"lacks {', '.join(absent)}"


def stored_as(reference: str) -> tuple[str, str]:
    """
    Return the repository in the store that an image lies in, and its tag or digest.

    An image of Docker Hub lies under its Hub name, another one under HOST/REPOSITORY.
    """
    name, _, digest = reference.partition("@")
    host, slash, rest = name.partition("/")
    if not slash or not ("." in host or ":" in host or host == "localhost"):
        host, rest = "docker.io", name
    path, _, tag = rest.partition(":")
    if host not in HUB:
        # A colon has no place in a repository's name.
        return f"{host.replace(':', '_').lower()}/{path}", digest or tag or "latest"
    return path if "/" in path else f"library/{path}", digest or tag or "latest"
