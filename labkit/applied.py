"""What was last applied to a machine: roles and inputs, as one fingerprint of both."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from labkit.classroom import Class, Machine
from labkit.lock import locked_digests
from labkit.paths import content, files_of
from labkit.record import applied, locked_engine


class Fingerprints:
    """
    Tells whether what would be applied to a machine now is what was applied to it before.

    That says nothing about the machine, which may have changed since: only its checks do.
    """

    def __init__(self, known: Class) -> None:
        self._directory, self._seats = known.directory, known.seats()
        self._before = applied(known.directory)
        self._images = locked_digests(known.directory)
        apps = {name for one in known.machines for name in one.inputs["sample_apps_names"] or ()}
        self._content = _digest(("playbooks", "roles", *sorted(map(str, apps))))

    def unchanged(self, machine: Machine) -> bool:
        """Return whether all that would be applied to a machine was applied to it before."""
        return self._before.get(machine.name) == self.of(machine)

    def of(self, machine: Machine) -> str:
        """Return the fingerprint of a machine's roles and inputs as they are at this moment."""
        counts: Mapping[str, Any] = {
            "content": self._content,
            "name": machine.name,
            "inputs": machine.inputs,
            "seat": self._seats[machine.seat],
            # Without it the next run has to choose the engine's version again.
            "locked": bool(locked_engine(self._directory)),
            "images": self._images,
        }
        text = json.dumps(counts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _digest(folders: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in (file for folder in folders for file in files_of(content() / folder)):
        digest.update(f"{file.relative_to(content())}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
