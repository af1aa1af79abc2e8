"""The engine's mirrors: the class's depot before those of others, taken up without a restart."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.module_utils.labkit_engine_socket import ENGINE_SOCKET, ask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MIRRORS = "registry-mirrors"
CONFIGURATION = Path("/etc/docker/daemon.json")
# The engine writes it when it starts.
PID_FILE = Path("/run/docker.pid")
RECORD = Path("/var/lib/labkit/depot.json")
RELOAD_SECONDS = 10


class Depots:
    """Which mirrors are labkit's own: a depot that moved or went is told from others by that."""

    def __init__(self, record: Path = RECORD) -> None:
        self.record = record

    def known(self) -> list[str]:
        """Return the depots that were put among the mirrors."""
        try:
            return [str(url) for url in json.loads(self.record.read_text())["mirrors"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def remember(self, urls: Iterable[str]) -> None:
        """Keep these, without a file for none."""
        wanted = sorted(set(urls))
        if wanted == self.known() and bool(wanted) == self.record.exists():
            return
        if not wanted:
            self.record.unlink(missing_ok=True)
            return
        self.record.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = self.record.with_suffix(".new")
        draft.write_text(json.dumps({"mirrors": wanted}) + "\n")
        draft.chmod(0o644)
        draft.replace(self.record)


def arrange(
    settings: Mapping[str, Any], depot: str, earlier: Iterable[str], *, asked: bool
) -> dict[str, Any]:
    """
    Return the settings with the depot as the first mirror, or with none of ours for "".

    `asked` tells that the instructor sets mirrors himself, even to an empty list.
    """
    there = settings.get(MIRRORS) or []
    ours = {url.rstrip("/") for url in (*earlier, depot)}
    mirrors = ([depot] if depot else []) + [one for one in there if one.rstrip("/") not in ours]
    if mirrors == there:
        return dict(settings)
    result = {**settings, MIRRORS: mirrors}
    if not mirrors and not asked:
        del result[MIRRORS]
    return result


def replace(path: Path, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """
    Write the settings; an engine that read the file as it was takes up other mirrors at once.

    The file is newer than the engine until the engine has them, so that it is restarted later
    where this is cut short, or where it does not listen.
    """
    read = _date(path) if path == CONFIGURATION and _mirrors_alone(before, after) else 0.0
    if not 0.0 < read <= _date(PID_FILE):
        _write(path, after)
        return
    # An engine that is told nothing of mirrors keeps those that it has.
    wanted = list(after.get(MIRRORS) or [])
    _write(path, {**after, MIRRORS: wanted})
    taken_up = reload(wanted)
    if MIRRORS not in after:
        _write(path, after)
    if taken_up:
        os.utime(path, (read, read))


def reload(mirrors: list[str]) -> bool:
    """Have the engine read its settings again; tell whether it has these mirrors then."""
    done = subprocess.run(
        ["systemctl", "reload", "docker.service"], capture_output=True, check=False
    )
    end = time.monotonic() + RELOAD_SECONDS
    while done.returncode == 0 and Path(ENGINE_SOCKET).exists() and time.monotonic() < end:
        if _in_use() == [one.rstrip("/") for one in mirrors]:
            return True
        time.sleep(0.1)
    return False


def _in_use() -> list[str] | None:
    try:
        known = ask("GET", "/info")["RegistryConfig"]["Mirrors"] or []
    except (OSError, KeyError, TypeError):
        return None
    return [str(one).rstrip("/") for one in known]


def _mirrors_alone(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    return names <= {MIRRORS}


def _date(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _write(path: Path, settings: Mapping[str, Any]) -> None:
    path.parent.mkdir(mode=0o755, exist_ok=True)
    draft = path.with_name(f".{path.name}.labkit")
    draft.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    draft.chmod(0o644)
    draft.replace(path)
