"""
What a depot says about itself: what it keeps, what it served, what room is left.

Runs on the depot as root, sent there over SSH: Python's own library only. Its question comes as
a line of JSON on standard input, its answer leaves as one on standard output.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REGISTRY = "docker/registry/v2/repositories"
CACHES = ("store", "through", "packages")
COUNTS = ("requests", "bytes", "hit", "miss", "through")
UNITS = ("labkit-depot-store", "labkit-depot-through", "labkit-depot-nginx")


def images(store: Path) -> dict[str, dict[str, Any]]:
    """Return repository → its tags, each with its digest, and the digests of all its manifests."""
    top = store / REGISTRY
    return {
        str(found.parent.relative_to(top)): {
            "tags": dict(_tags(found)),
            "digests": [f"sha256:{one.name}" for one in (found / "revisions/sha256").glob("*")],
        }
        for found in sorted(top.rglob("_manifests"))
    }


def _tags(manifests: Path) -> Iterator[tuple[str, str]]:
    for link in sorted(manifests.glob("tags/*/current/link")):
        yield link.parent.parent.name, link.read_text(encoding="ascii").strip()


def served(log: Path) -> dict[str, dict[str, int]]:
    """Return kind → how many requests, their bytes, and how many were hits, misses, passed on."""
    counted: dict[str, dict[str, int]] = {}
    if not log.exists():
        return counted
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                said = json.loads(line)
                kind, cache = str(said["kind"]), str(said["cache"])
                size, status = int(said["bytes"]), int(said["status"])
            except (ValueError, KeyError, TypeError):
                continue  # the line that nginx is just writing
            one = counted.setdefault(kind, dict.fromkeys(COUNTS, 0))
            one["requests"] += 1
            one["bytes"] += size
            if status < 400 and cache in COUNTS:  # noqa: PLR2004 - a refusal is neither hit nor miss
                one[cache] += 1
    return counted


def size(folder: Path) -> int:
    """Return the bytes that the files below a folder take on the disk."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512  # noqa: PTH118 - many
            except FileNotFoundError:
                continue  # a cache may just have dropped it
    return total


def states() -> dict[str, str]:
    """Return service → systemd's word for it."""
    words = ["systemctl", "is-active", *UNITS]
    said = subprocess.run(words, capture_output=True, text=True, check=False).stdout.split()
    return dict(zip(UNITS, said, strict=False))


def answer(directory: Path) -> dict[str, Any]:
    """Return all of it; of a machine that is no depot, only its services' states."""
    if not directory.is_dir():
        return {"there": False, "services": states()}
    room = os.statvfs(directory)
    return {
        "there": True,
        "services": states(),
        "images": images(directory / "store"),
        "served": served(directory / "log" / "access.jsonl"),
        "kept": {name: size(directory / name) for name in CACHES},
        "free": room.f_bavail * room.f_frsize,
    }


def main() -> None:
    """Answer the one question."""
    question = json.loads(sys.stdin.buffer.readline())
    sys.stdout.write(json.dumps(answer(Path(question["directory"]))) + "\n")


if __name__ == "__main__":
    main()
