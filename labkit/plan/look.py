"""
What a machine, or the depot, says of itself before anything starts.

labkit sends this one file over ssh, and root runs it: Python's own library only, from 3.10 on. It
looks, answers with one line of JSON, ends by itself, and leaves nothing behind.
"""

import http.client
import json
import os
import platform
import signal
import socket
import sys
import time
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# The longest that it may live, whatever happens.
LIMIT = 15
ENGINE = "/run/docker.sock"
ENGINE_PATIENCE = 5
# What the role docker_engine keeps where it made a depot known (labkit_mirrors).
# What roles leave that point a machine to a depot: base's, and docker_engine's, which goes with
# a depot that died.
DEPOT = (Path("/etc/apt/apt.conf.d/95labkit-depot"), Path("/var/lib/labkit/depot.json"))
# Docker's words for what the kernel calls otherwise.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
CHUNK = 65536
MIB = 2**20
# A registry takes none that is larger (distribution, registry/handlers: 4 MiB).
MANIFEST_LIMIT = 4 * MIB


def main() -> None:
    """Answer the one question on standard input."""
    signal.alarm(LIMIT)
    task = json.loads(sys.stdin.buffer.readline())
    try:
        answer = sample(**task["sample"]) if "sample" in task else look(task)
    except (OSError, ValueError, http.client.HTTPException) as error:
        answer = {"error": str(error) or type(error).__name__}
    sys.stdout.write(json.dumps(answer) + "\n")


def look(task: dict[str, Any]) -> dict[str, Any]:
    """Return how this machine stands; of the blobs of `task` those that its store holds."""
    kernel = platform.machine()
    root, images = engine()
    directory = Path(task.get("directory") or root)
    return {
        "architecture": ARCHITECTURES.get(kernel, kernel),
        "system": system(Path("/etc/os-release").read_text(encoding="utf-8")),
        "disk": str(directory),
        "free_mb": free_mb(directory),
        "engine": images is not None,
        "has_depot": any(one.exists() for one in DEPOT),
        "names": sorted({name for one in images or [] for name in one.get("RepoTags") or []}),
        "digests": sorted(
            {
                name.partition("@")[2]
                for one in images or []
                for name in one.get("RepoDigests") or []
            }
        ),
        "held": held(directory, task.get("blobs") or []),
        "packages_mb": taken_mb(directory / "packages") if "directory" in task else 0,
    }


def system(release: str) -> str:
    """Return what /etc/os-release calls this system."""
    lines = dict(line.split("=", 1) for line in release.splitlines() if "=" in line)
    return lines.get("PRETTY_NAME", "unknown").strip("\"'")


def free_mb(directory: Path) -> int:
    """Return the room of the file system where a directory is, or will be."""
    while not directory.exists():
        directory = directory.parent
    return os.statvfs(directory).f_bavail * os.statvfs(directory).f_frsize // MIB


def taken_mb(directory: Path) -> int:
    """Return the room that the files below a directory take."""
    taken = 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                taken += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118 - many
            except FileNotFoundError:
                continue  # nginx may just have dropped it
    return taken // MIB


def engine() -> tuple[str, list[dict[str, Any]] | None]:
    """Return where the engine keeps its data, and its images; None where no engine answers."""
    try:
        return ask("/info")["DockerRootDir"], ask("/images/json")
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        return "/var/lib/docker", None


def ask(path: str) -> Any:
    """Return what the engine answers (https://docs.docker.com/reference/api/engine/)."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.sock.settimeout(ENGINE_PATIENCE)
        connection.sock.connect(ENGINE)
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def held(directory: Path, blobs: Iterable[str]) -> list[str]:
    """
    Return those blobs that lie in the depot's store, in the registry's layout.

    A manifest counts if all that it names is there: seeding keeps it before any layer.
    """
    store = directory / "store/docker/registry/v2/blobs/sha256"

    def data(blob: str) -> Path:
        digest = blob.removeprefix("sha256:")
        return store / digest[:2] / digest / "data"

    return [
        blob
        for blob in blobs
        if data(blob).is_file() and all(data(one).is_file() for one in named(data(blob)))
    ]


def named(file: Path) -> list[str]:
    """Return the digests that a manifest names; none for what is no manifest."""
    if file.stat().st_size > MANIFEST_LIMIT:
        return []
    try:
        manifest = json.loads(file.read_bytes())
        return [one["digest"] for one in (manifest["config"], *manifest["layers"])]
    except (ValueError, KeyError, TypeError):
        return []


def sample(url: str, headers: dict[str, str], seconds: float) -> dict[str, Any]:
    """Return how many bytes of a URL came within so many seconds; they are thrown away."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - labkit asks for a registry's
    began, got = time.monotonic(), 0
    with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - as above
        while (spent := time.monotonic() - began) < seconds:
            data = answer.read1(CHUNK)
            if not data:
                break
            got += len(data)
    return {"bytes": got, "seconds": max(spent, 0.001)}


if __name__ == "__main__":
    main()
