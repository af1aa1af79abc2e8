"""The image of a bare machine, built from Debian's and what only this box knows."""

import contextlib
import hashlib
from collections.abc import Callable
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, ImageNotFound

from labkit.sandbox import apt, box
from labkit.sandbox.base import base_name, ensure_base
from labkit.sandbox.build import build, pack, read_folder

REPOSITORY = "labkit-machine"
# Its value is the release; the containers made of the image have it too.
MARK = "labkit.machine-image"

_SOURCES = Path(__file__).parent / "machine"
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")

Files = dict[str, tuple[bytes, int]]


def ensure_image(
    client: DockerClient, release: str, *, reaches_hub: bool, tell: Callable[[str], None]
) -> str:
    """
    Return the tag of the machine's image, built only if this very image is not there yet.

    Raises:
        ControllerError: The base cannot be had or the build failed.
    """
    ensure_base(client, release, reaches_hub=reaches_hub, tell=tell)
    context = read_folder(_SOURCES)
    context |= {f"files/{path}": file for path, file in box_files(release).items()}
    base = base_name(release)
    key = hashlib.sha256(str(client.images.get(base).id).encode() + pack(context)).hexdigest()[:12]
    tag = f"{REPOSITORY}:{key}"
    try:
        client.images.get(tag)
    except ImageNotFound:
        tell(f"building the machine's image from {base}")
        build(client, context, tag, {MARK: release}, {"RELEASE": release})
        _forget_older(client, release, tag)
    return tag


def _forget_older(client: DockerClient, release: str, newest: str) -> None:
    for image in client.images.list(filters={"label": f"{MARK}={release}"}):
        for tag in image.tags:
            if tag != newest:
                # The engine refuses where a machine still uses it.
                with contextlib.suppress(APIError):
                    client.images.remove(tag)


def box_files(release: str, loopback: str = "") -> Files:
    """
    Return the files that let a machine, or a container on it, use the box's package mirrors.

    Paths are relative to the root: apt's sources and options, the box's own authorities.
    `loopback` is where a machine finds the box's loopback, if it can.
    """
    # Never empty, since COPY refuses a folder that does not exist.
    files: Files = {"etc/apt/apt.conf.d/50sandbox": (apt.options(loopback).encode(), 0o644)}
    archives = apt.debian_archives(release)
    if archives:
        stanzas = "\n".join(archive.stanza() for archive in archives)
        stanzas = apt.seen_from_a_machine(stanzas, loopback)
        files["etc/apt/sources.list"] = (b"# See sources.list.d/debian.sources\n", 0o644)
        files["etc/apt/sources.list.d/debian.sources"] = (stanzas.encode(), 0o644)
    authorities = box.extra_authorities()
    for name, certificate in authorities.items():
        files[f"usr/local/share/ca-certificates/{name}"] = (certificate, 0o644)
    if authorities and _BUNDLE.is_file():
        # apt may need it for an HTTPS mirror before ca-certificates is installed; that package
        # then makes its own of the same authorities.
        files[str(_BUNDLE.relative_to("/"))] = (_BUNDLE.read_bytes(), 0o644)
    return files
