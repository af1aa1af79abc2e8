"""Stand-ins for images of Docker Hub, built from tests/images/ and put into the registry."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from labkit import paths
from labkit.errors import ControllerError
from labkit.sandbox.apt import RELEASE
from labkit.sandbox.base import base_name, ensure_base
from labkit.sandbox.build import STAND_IN, build, pack, read_folder
from labkit.sandbox.image import Files, box_files
from labkit.sandbox.upload import Registry


@dataclass(frozen=True)
class StandIn:
    """One image: the folder of its sources is `name`, and it is pushed under all its tags."""

    name: str
    tags: tuple[str, ...]


# Whatever the machines are: an attendee's container has an image of its own.
BASE = base_name(RELEASE)
STAND_INS = (StandIn("hello-world", ("latest",)), StandIn("ubuntu", ("24.04", "latest")))


def ensure_stand_ins(client: DockerClient, registry: Registry, tell: Callable[[str], None]) -> None:
    """
    See to it that the registry serves every stand-in, built from today's sources.

    An image's sources are named by one more of its tags, so that a second look is all it takes.

    Raises:
        ControllerError: The sources or a compiler are missing, or a build failed.
    """
    ensure_base(client, RELEASE, reaches_hub=False, tell=tell)
    for image in STAND_INS:
        sources = _sources(client, image)
        mark = f"source-{hashlib.sha256(pack(sources)).hexdigest()[:12]}"
        repository = f"library/{image.name}"
        manifest = registry.manifest(repository, mark)
        if manifest is None:
            tell(f"building a stand-in for {image.name}")
            manifest = _make(client, registry, repository, sources)
            registry.tag(repository, mark, manifest)
        for tag in image.tags:
            registry.tag(repository, tag, manifest)


def are_served(registry: Registry) -> bool:
    """Return whether the registry has every stand-in."""
    return all(
        registry.manifest(f"library/{image.name}", tag) is not None
        for image in STAND_INS
        for tag in image.tags
    )


def _sources(client: DockerClient, image: StandIn) -> Files:
    folder = paths.content() / "tests" / "images" / image.name
    if not folder.is_dir():
        raise ControllerError(
            f"Docker Hub cannot be reached, and the stand-in for {image.name} has no sources in "
            "this installation.",
            hint="Run labkit from a checkout of its repository.",
        )
    sources = read_folder(folder)
    if f"FROM {BASE}".encode() in sources["Dockerfile"][0]:
        # A new base, or other mirrors of the box, make another image.
        sources["base"] = (str(client.images.get(BASE).id).encode(), 0o644)
        sources |= {f"files/{path}": file for path, file in box_files(RELEASE).items()}
    return sources


def _make(client: DockerClient, registry: Registry, repository: str, sources: Files) -> bytes:
    tag = f"labkit-stand-in/{repository}"
    build(client, sources | _compiled(sources), tag, STAND_IN)
    with tempfile.TemporaryFile() as archive:
        for chunk in client.images.get(tag).save():
            archive.write(chunk)
        archive.seek(0)
        manifest = registry.upload(repository, archive)
    # Its bytes are in the registry now, where all sandboxes find them.
    client.images.remove(tag, force=True)
    return manifest


def _compiled(sources: Files) -> Files:
    """Return each C file's static program, for an image that starts from scratch."""
    return {
        name.removesuffix(".c"): (_compile(content), 0o755)
        for name, (content, _) in sources.items()
        if name.endswith(".c")
    }


def _compile(source: bytes) -> bytes:
    if shutil.which("gcc") is None:
        raise ControllerError(
            "gcc, which compiles the stand-in for hello-world, is missing.",
            hint="script/setup installs it.",
        )
    with tempfile.TemporaryDirectory(prefix="labkit-compile-") as folder:
        program = Path(folder) / "program"
        command = ["gcc", "-static", "-Os", "-s", "-x", "c", "-", "-o", str(program)]
        made = subprocess.run(command, input=source, check=False, capture_output=True)
        if made.returncode != 0:
            end = made.stderr.decode(errors="replace").strip()
            raise ControllerError(f"gcc could not compile the stand-in: {end}")
        return program.read_bytes()
