"""The class's images.lock.yml: what each image's name stands for, in bytes and digests."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from labkit.errors import BadInput

NAME = "images.lock.yml"
HEADER = "# Written by labkit depot seed: what the depot holds, and machines pull. Keep it.\n---\n"


@dataclass(frozen=True, slots=True)
class Pinned:
    """One image for one architecture: its manifest's digest, and the bytes that travel for it."""

    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Locked:
    """
    What a reference named when the depot was seeded.

    `digest` is what `docker pull NAME@DIGEST` takes, an index's where the registry has one;
    `platforms` has only those of the class, by Docker's word for them (`amd64`).
    """

    digest: str
    platforms: Mapping[str, Pinned]


def read_lock(class_directory: Path) -> dict[str, Locked]:
    """
    Return reference → what it is locked to; empty where the class has no lock.

    Raises:
        BadInput: The file is damaged.
    """
    file = class_directory / NAME
    try:
        known = yaml.safe_load(file.read_text(encoding="utf-8"))
        return {
            reference: Locked(
                str(one["digest"]),
                {
                    name: Pinned(str(of["digest"]), int(of["bytes"]))
                    for name, of in one["platforms"].items()
                },
            )
            for reference, one in known["images"].items()
        }
    except FileNotFoundError:
        return {}
    except (yaml.YAMLError, TypeError, KeyError, ValueError, AttributeError):
        raise BadInput(
            f"{file} is no lock of images", "put it back, or remove it and seed the depot again"
        ) from None


def write_lock(class_directory: Path, lock: Mapping[str, Locked]) -> None:
    """Replace the class's lock, at once or not at all."""
    known = {reference: asdict(lock[reference]) for reference in sorted(lock)}
    draft = class_directory / f".{NAME}.new"
    text = yaml.safe_dump({"images": known}, sort_keys=False)
    draft.write_text(HEADER + text, encoding="utf-8")
    draft.replace(class_directory / NAME)


def locked_digests(class_directory: Path) -> dict[str, str]:
    """Return reference → digest, as the role images takes it (`images_lock`)."""
    return {reference: one.digest for reference, one in read_lock(class_directory).items()}
