"""What a depot says about itself: its services, what they served, the disk that it takes."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

CACHES = ("store", "through", "packages")
COUNTS = ("requests", "bytes", "hit", "miss", "through")
UNITS = ("labkit-depot-store", "labkit-depot-through", "labkit-depot-nginx")


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


def account(directory: Path) -> dict[str, Any]:
    """Return `services`, `served`, and the bytes `kept` on the disk by each of the parts."""
    return {
        "services": states(),
        "served": served(directory / "log" / "access.jsonl"),
        "kept": {name: size(directory / name) for name in CACHES},
    }
