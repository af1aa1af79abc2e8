"""The class's images."""

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import Note, promise

RECORD = "/var/lib/labkit/images.json"
PROVEN = "/var/lib/labkit/database.json"


def names_of(image: Mapping[str, Any]) -> list[str]:
    """Return all names under which the class uses an image."""
    return [image["reference"], *(image.get("tags") or ())]


def familiar(name: str) -> str:
    """Return a repository's name as Docker shows it: Docker Hub's own go without a prefix."""
    repository, _, digest = name.partition("@")
    last = repository.rpartition("/")[2]
    repository = (
        repository.removesuffix(":" + last.partition(":")[2]) if ":" in last else repository
    )
    short = repository.removeprefix("docker.io/").removeprefix("library/")
    return f"{short}@{digest}" if digest else short


class Images:
    """What the machine has, and what was recorded when its images were pulled."""

    def __init__(self, host: Host, names: Iterable[str]) -> None:
        self.recorded: dict[str, dict[str, Any]] = json.loads(
            host.run(f"cat {RECORD}").stdout or "{}"
        )
        names = list(names)
        ask = "docker image inspect --format '{{.Id}} {{json .RepoDigests}}' "
        together = host.run(ask + shlex.join(names))
        if together.failed:
            # Each by itself, to learn what is said of which. -f: the digests' [ ] would stand
            # for files of one letter.
            echo = "; ".join(f"echo $({ask}{shlex.quote(name)} 2>&1)" for name in names)
            together = host.run(f"set -f; {echo}")
        seen = together.stdout.splitlines()
        self.answers = dict(zip(names, seen, strict=False))

    def digests(self, name: str) -> tuple[str, list[str]] | None:
        """Return an image's id and its digests by familiar repository, None if it is not there."""
        identity, _, digests = self.answers.get(name, "").partition(" ")
        if not identity.startswith("sha256:"):
            return None
        return identity, [familiar(digest) for digest in json.loads(digests) or []]


@pytest.fixture(scope="module")
def images(host: Host, machine: Machine) -> Images:
    wanted = machine.inputs.get("images_pull") or []
    return Images(host, [name for image in wanted for name in names_of(image)])


def test_the_image_is_there_with_the_recorded_digest(
    images: Images, image: Mapping[str, Any], machine: Machine
) -> None:
    reference = image["reference"]
    there = images.digests(reference)
    recorded = images.recorded.get(reference, {}).get("digest")
    wanted = f"{familiar(reference).partition('@')[0]}@{recorded}"

    promise(
        there,
        expected=f"image {reference}",
        seen=images.answers.get(reference, ""),
        todo=machine.repair("images"),
    )
    assert there
    promise(
        recorded,
        expected=f"a digest of {reference} in {RECORD}",
        seen=f"a record of {', '.join(images.recorded) or 'no image'}",
        todo=machine.repair("images"),
    )
    promise(
        wanted in there[1],
        expected=f"{reference} to be {wanted}",
        seen=", ".join(there[1]) or f"{there[0]}, which came from no registry",
        todo=machine.repair("images"),
    )


def test_the_image_is_the_one_of_the_lock(
    images: Images, image: Mapping[str, Any], machine: Machine, note: Note
) -> None:
    reference = image["reference"]
    locked = (machine.inputs.get("images_lock") or {}).get(reference)
    if not locked:
        pytest.skip(f"images.lock.yml says nothing of {reference}")
    entry = images.recorded.get(reference, {})
    instead = entry.get("instead_of") == locked

    promise(
        entry.get("digest") == locked or instead,
        expected=f"{reference} to be {locked}, as in images.lock.yml",
        seen=f"a record of {entry.get('digest') or 'no digest'}",
        todo=machine.repair("images"),
    )
    if instead:
        note(f"{reference} is {entry['digest']}: nobody has {locked} of images.lock.yml any more")


def test_the_image_has_all_its_names(
    images: Images, image: Mapping[str, Any], machine: Machine
) -> None:
    names = names_of(image)
    there = {name: images.digests(name) for name in names}
    wrong = [name for name in names if there[name] is None or there[name] != there[names[0]]]

    promise(
        not wrong,
        expected=f"{', '.join(names)} to be one image",
        seen="; ".join(f"{name}: {images.answers.get(name, '')}" for name in names),
        todo=machine.repair("images"),
    )


def test_the_database_keeps_running_on_this_kernel(host: Host, machine: Machine) -> None:
    """The database was proven to keep running, with this image and this kernel."""
    image = machine.inputs.get("images_database")
    if not image:
        pytest.skip("the class has no database")
    now = host.run(
        "docker image inspect --format {{.Id}} %s && uname --kernel-release", image
    ).stdout.split()
    proven = json.loads(host.run(f"cat {PROVEN}").stdout or "{}")

    promise(
        [proven.get("id"), proven.get("kernel")] == now,
        expected=f"{PROVEN} to tell that {image} ran as {', '.join(now)}",
        seen=f"a proof of {proven.get('id')}, {proven.get('kernel')}" if proven else "no proof",
        todo=machine.repair("images"),
    )
