"""What each machine lacks, and what that makes for the class; pure arithmetic."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.classroom import Machine
from labkit.depot.stock.names import Name, read_name
from labkit.errors import BadInput
from labkit.plan.sizes import Sized, Sizes, on_hub

MIB = 2**20
# What preflight takes for an image that does not tell its size.
USUAL_DISK_MB = 250


@dataclass(frozen=True, slots=True)
class Load:
    """
    What one machine is to get.

    `present` are references of images that are there, `missing` what has to travel, `unknown`
    references whose size nobody told; disks in MiB; `engine` tells whether it has one already.
    """

    machine: str
    seat: str
    architecture: str
    system: str
    present: tuple[str, ...]
    missing: tuple[Sized, ...]
    unknown: tuple[str, ...]
    disk: str
    disk_needed: int
    disk_found: int
    engine: bool

    @property
    def bytes(self) -> int:
        """What travels to it; a layer that images share travels once."""
        return sum(distinct(self.missing).values())


@dataclass(frozen=True, slots=True)
class Stock:
    """What the depot has to fetch, and the room it has for it; disks in MiB."""

    machine: str
    bytes: int
    pulls: int
    disk: str
    disk_needed: int
    disk_found: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What the internet's line carries of images, in bytes, and pulls that Docker Hub counts."""

    direct_bytes: int
    depot_bytes: int
    direct_pulls: int
    depot_pulls: int


def load(machine: Machine, references: Iterable[str], seen: Any, sizes: Sizes) -> Load:
    """Return what a machine lacks, which said of itself what `seen` has (see look.py)."""
    present, missing, unknown = [], [], []
    for reference in references:
        image = sizes.get((reference, seen["architecture"]))
        if is_there(reference, image, seen):
            present.append(reference)
        elif image:
            missing.append(image)
        else:
            unknown.append(reference)
    return Load(
        machine.name,
        machine.seat,
        seen["architecture"],
        seen["system"],
        tuple(present),
        tuple(missing),
        tuple(unknown),
        seen["disk"],
        disk_needed(machine.inputs, present, engine=seen["engine"]),
        seen["free_mb"],
        seen["engine"],
    )


def is_there(reference: str, image: Sized | None, seen: Mapping[str, Any]) -> bool:
    """Tell whether an engine has an image: of the lock's digest, else one of that name."""
    if image and image.digests & set(seen["digests"]):
        return True
    return not (image and image.pinned) and read_name(reference) in map(_name, seen["names"])


def disk_needed(inputs: Mapping[str, Any], present: Collection[str], *, engine: bool) -> int:
    """
    Return the MiB that have to be free: what preflight asks for.

    Where an engine is, it has taken its part, and so have builds: what counts then is the images
    that are not there, and what has to remain behind them.
    """
    if not engine:
        return int(inputs["preflight_docker_disk_mb"])
    missing = [one for one in inputs["images_pull"] if one["reference"] not in present]
    taken = sum(one.get("disk_mb") or USUAL_DISK_MB for one in missing)
    return taken + int(inputs["images_reserve_mb"]) if missing else 0


def stock(machine: str, inputs: Mapping[str, Any], seen: Any, missing: Iterable[Sized]) -> Stock:
    """
    Return what a depot fetches: what machines lack, and it has not; each blob once.

    Room for packages is what they have not taken yet; where nothing lacks, none is asked for.
    """
    images = list(missing)
    lacking = distinct(images, seen["held"])
    room = math.ceil(sum(lacking.values()) / MIB)
    packages = max(0, int(inputs["depot_packages_mb"]) - seen["packages_mb"])
    aside = packages + int(inputs["depot_reserve_mb"])
    return Stock(
        machine,
        sum(lacking.values()),
        pulls(one for one in images if one.blobs.keys() & lacking.keys()),
        seen["disk"],
        room + aside if lacking else 0,
        seen["free_mb"],
    )


def totals(loads: Iterable[Load], found: Stock | None) -> Totals:
    """Return both ways: without a depot, and with the one there is, or one that is empty."""
    each = list(loads)
    missing = [image for one in each for image in one.missing]
    # To be fetched all the same, and counted.
    unknown = [(name, one.architecture) for one in each for name in one.unknown if on_hub(name)]
    return Totals(
        sum(one.bytes for one in each),
        found.bytes if found else sum(distinct(missing).values()),
        # Of a multi-arch image each architecture counts, and so does each machine.
        sum(image.hub for image in missing) + len(unknown),
        (found.pulls if found else pulls(missing)) + len(set(unknown)),
    )


def distinct(images: Iterable[Sized], held: Collection[str] = ()) -> dict[str, int]:
    """Return blob → bytes of what several images consist of, each once."""
    return {blob: size for one in images for blob, size in one.blobs.items() if blob not in held}


def pulls(images: Iterable[Sized]) -> int:
    """Return what Docker Hub counts where each image is fetched once for each architecture."""
    return len({(one.reference, one.digests) for one in images if one.hub})


def _name(reference: str) -> Name | None:
    """Return what a name stands for; an engine also has images with none (`<none>:<none>`)."""
    try:
        return read_name(reference)
    except BadInput:
        return None
