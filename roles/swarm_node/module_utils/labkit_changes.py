"""Alterations of a machine that are listed before any of them is made."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.labkit_machine import run

# A firewall's own tool may take seconds for each rule.
PATIENCE = 300


class Change(NamedTuple):
    """One alteration of the machine: a command to run, or a text to write to a path."""

    what: str
    command: tuple[str, ...] = ()
    path: str = ""
    text: str = ""
    mode: int = 0o644


def file_change(path: str, text: str, mode: int = 0o644) -> list[Change]:
    """Return what it takes for the file to hold the text, nothing if it does already."""
    place = Path(path)
    if (place.read_text(encoding="utf-8") if place.is_file() else "") == text:
        return []
    return [Change(f"write {path}", path=path, text=text, mode=mode)]


def apply(change: Change) -> None:
    """
    Alter the machine; a text of "" removes the file.

    Raises:
        OSError: It could not be done; the message says what, and the answer.
    """
    if not change.path:
        code, said = run(*change.command, seconds=PATIENCE)
        if code:
            raise OSError(f"cannot {change.what}: {said}")
    elif not change.text:
        Path(change.path).unlink()
    else:
        place = Path(change.path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(change.text, encoding="utf-8")
        # What the kernel shows as files has modes of its own.
        if not change.path.startswith("/proc/"):
            place.chmod(change.mode)
