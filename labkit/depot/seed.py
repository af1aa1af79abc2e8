"""Fills the depot, from the images' registries or from a bundle, and writes down with what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.classroom import Request, read_class
from labkit.depot.orders import carry_out, require_depot
from labkit.depot.stock.bundle import read_first
from labkit.depot.stock.names import read_name
from labkit.depot.stock.registry import PATIENCE
from labkit.depot.stock.store import CHUNK
from labkit.depot.wanted import Wanted, ask_architectures, wanted
from labkit.display import Freight
from labkit.errors import BadInput, LabkitError
from labkit.lock import Locked, Pinned, read_lock, write_lock
from labkit.scratch import run_directory


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to seed, beside which class.

    `update` asks what the tags name today, where the lock has an earlier answer; `verify` reads
    all that the depot has; `account` is Docker Hub's name and password; `patience` are the seconds
    of a registry's silence that are borne.
    """

    update: bool = False
    verify: bool = False
    account: tuple[str, str] | None = field(default=None, repr=False)
    patience: float = PATIENCE


def seed(request: Request, options: Options, show: Freight) -> dict[str, Locked]:
    """
    Bring the class's images into its depot; return the lock, which stands beside the inventory.

    Raises:
        LabkitError: Some image is not there; what is there stays, and the lock says it.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        depot = require_depot(known)
        before = read_lock(known.directory)
        architectures = ask_architectures(known.machines, scratch, show.note)
        images = wanted(known.machines, architectures)
        for reference in images:
            _refuse_port(reference)
        show.begin(f"seeding the class's images ({len(images)}) into {depot.machine.name}")
        task = {
            "verb": "seed",
            "images": [_order(*one, before, options) for one in images.items()],
            "upstreams": depot.machine.inputs["depot_upstreams"],
            "credentials": options.account,
            "verify": options.verify,
            "patience": options.patience,
        }
        said = carry_out(depot, scratch, task, show.take)
        lock = {name: locked(one) for name, one in said["images"].items()}
        # What a failure leaves as it was is still in the depot; what the class has dropped need not
        # be what machines pull, or a bundle has.
        left = {name: one for name, one in before.items() if name in images}
        write_lock(known.directory, {**left, **lock})
        _refuse_failed(said["failed"], show)
        return lock


def seed_from(request: Request, file: Path, show: Freight) -> dict[str, Locked]:
    """
    Bring what a bundle holds into the class's depot; nothing is asked of any registry.

    Raises:
        LabkitError: It is refused; the depot is as before, but for what was right.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        depot = require_depot(known)
        try:
            with file.open("rb") as bundle:
                read_first(bundle)
        except OSError as error:
            raise BadInput(f"{file} cannot be read: {error.strerror}") from None
        except LabkitError as error:
            raise BadInput(f"{file}: {error.message}", error.hint) from None
        show.begin(f"bringing {file.name} into {depot.machine.name}")
        said = carry_out(depot, scratch, {"verb": "load"}, show.take, feed=_chunks(file))
        lock = {name: locked(one) for name, one in said["lock"].items()}
        # What else was seeded here is still in the depot.
        write_lock(known.directory, {**read_lock(known.directory), **lock})
        return lock


def _refuse_port(reference: str) -> None:
    """Refuse what no machine would ask a depot for: a port has no place in a name of the Hub's."""
    if ":" in read_name(reference).registry:
        raise BadInput(
            f"{reference} comes from a registry at a port, and a depot cannot have it",
            "give the registry a name without a port, or leave the image out (images_pull)",
        )


def locked(said: Mapping[str, Any]) -> Locked:
    """Return one image of a lock as JSON has it."""
    platforms = {name: Pinned(**one) for name, one in said["platforms"].items()}
    return Locked(said["digest"], platforms)


def _order(
    reference: str, want: Wanted, lock: Mapping[str, Locked], options: Options
) -> dict[str, Any]:
    before = None if options.update else lock.get(reference)
    return {
        "reference": reference,
        "platforms": sorted(want.platforms),
        "tags": want.tags,
        "digest": before.digest if before else None,
    }


def _refuse_failed(failed: Mapping[str, tuple[str, str]], show: Freight) -> None:
    for reference, (why, _) in failed.items():
        show.note(f"{reference} is not in the depot: {why}")
    if failed:
        count = f"{len(failed)} of the class's images are" if len(failed) > 1 else "an image is"
        todo = next(iter(failed.values()))[1]
        raise LabkitError(f"{count} not in the depot: {', '.join(failed)}", todo)


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as bundle:
        while chunk := bundle.read(CHUNK):
            yield chunk
