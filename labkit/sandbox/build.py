"""Builds images with the engine's own builder, which every engine from 20.10 on has."""

import io
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from docker import DockerClient
from docker.errors import DockerException

from labkit.errors import ControllerError

# The mark of an image that stands in for one of Docker Hub's.
STAND_IN = {"labkit.stand-in": "true"}

_LINES_SHOWN = 8


def read_folder(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return a folder's files as (content, permission bits) by relative path."""
    return {
        str(path.relative_to(folder)): (
            path.read_bytes(),
            0o755 if path.stat().st_mode & 0o100 else 0o644,
        )
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pack(files: Mapping[str, tuple[bytes, int]], owner: int = 0) -> bytes:
    """Return a tar archive of the files, the same bytes for the same files."""
    archive = io.BytesIO()
    pack_into(archive, files, owner)
    return archive.getvalue()


def pack_into(archive: IO[bytes], files: Mapping[str, tuple[bytes, int]], owner: int = 0) -> None:
    """Write that archive into a file, for what had better not lie in memory twice."""
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            entry.uid = entry.gid = owner
            tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)


def build(
    client: DockerClient,
    context: Mapping[str, tuple[bytes, int]],
    tag: str,
    labels: dict[str, str],
    arguments: dict[str, str] | None = None,
) -> None:
    """
    Build the context's Dockerfile and tag the image.

    Raises:
        ControllerError: The build failed; the message holds its last lines.
    """
    lines: list[str] = []
    with tempfile.TemporaryFile() as archive:
        pack_into(archive, context)
        try:
            for message in client.api.build(
                fileobj=archive,
                custom_context=True,
                tag=tag,
                labels=labels,
                buildargs=arguments,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                lines += str(message.get("stream") or message.get("error") or "").splitlines()
                if "error" in message:
                    raise _failed(tag, lines)
        except DockerException as error:
            raise _failed(tag, [*lines, str(error)]) from error


def _failed(tag: str, lines: list[str]) -> ControllerError:
    end = "\n".join([line for line in lines if line.strip()][-_LINES_SHOWN:])
    return ControllerError(
        f"Building the image {tag} failed:\n{end}",
        hint="If a package could not be fetched, see whether `apt-get update` works on this box.",
    )
