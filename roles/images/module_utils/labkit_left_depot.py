"""A depot that dies while a machine pulls from it: it is left, and the machine goes on directly."""

from __future__ import annotations

import json
from contextlib import suppress
from threading import Lock

from ansible.module_utils.labkit_depot import silence
from ansible.module_utils.labkit_mirrors import CONFIGURATION, arrange, replace

# With a minute for each, as long as the depot itself has one wait for another.
MOST = 10


class Depot:
    """The class's depot, and what becomes of an engine whose depot dies while it pulls."""

    def __init__(self, url: str) -> None:
        self.url, self.notes = url, []  # type: tuple[str, list[str]]
        self._lock = Lock()

    def left(self) -> bool:
        """Tell whether the depot is gone; then the engine is told to go on without it."""
        if not self.url:
            return False
        with self._lock:  # pulls that run side by side all come here
            if not self.notes and (reason := silence(self.url)):
                self.notes.append(
                    f"the depot {self.url} stopped answering while images were pulled ({reason}), "
                    "so this machine went on directly: look with labkit depot status"
                )
                self._leave()
            return bool(self.notes)

    def bears(self, silences: int) -> bool:
        """
        Tell whether an engine's silence is to be borne: its depot is there, and waits itself.

        A machine that asks for one that another asked for first gets no byte until it is whole.
        """
        return bool(self.url) and not self.notes and silences < MOST and not silence(self.url)

    def back(self) -> None:
        """Have the engine ask a depot again that answers again: its silence was a moment's."""
        with self._lock:
            if self.notes and not silence(self.url):
                self.notes.append(f"the depot {self.url} answers again, and is used again")
                self._put(self.url)

    def _leave(self) -> None:
        """Take it from the mirrors: an engine would wait for each answer of a hanging one."""
        self._put("")

    def _put(self, depot: str) -> None:
        with suppress(OSError, ValueError):
            before = json.loads(CONFIGURATION.read_text(encoding="utf-8"))
            after = arrange(before, depot, [self.url], asked=False)
            if after != before:
                replace(CONFIGURATION, before, after)
