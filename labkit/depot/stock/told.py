"""What the depot tells the labkit that sent it this: lines of JSON, and bytes between them."""

import json
import os
import sys
import threading
from types import TracebackType
from typing import Any, BinaryIO

# Also the sign of life: who hears nothing for long takes the depot for lost.
PACE = 0.5


class Teller:
    """
    Tells how far it is, every half second, from the moment it is entered until it is left.

    `total` and `done` are bytes; both grow while more becomes known.
    """

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream or sys.stdout.buffer
        self._writing, self._counting = threading.Lock(), threading.Lock()
        self._left = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self.total = self.done = 0

    def __enter__(self) -> "Teller":  # noqa: PYI034 - Self is younger than a depot's Python
        self._ticker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._left.set()
        self._ticker.join()

    def count(self, done: int) -> None:
        """Learn of bytes that are done; fewer than none where they have to be done again."""
        with self._counting:
            self.done += done

    def say(self, **message: Any) -> None:
        """Tell something."""
        with self._writing:
            self._stream.write(json.dumps(message).encode() + b"\n")
            self._stream.flush()

    def give(self, data: bytes) -> None:
        """Hand over bytes, behind a line that says how many."""
        with self._writing:
            self._stream.write(json.dumps({"piece": len(data)}).encode() + b"\n")
            self._stream.write(data)
            self._stream.flush()

    def progress(self) -> None:
        """Tell how far it is."""
        self.say(done=self.done, total=self.total)

    def _tick(self) -> None:
        while not self._left.wait(PACE):
            try:
                self.progress()
            except OSError:
                # Nobody is there any more: what is whole is kept, the rest is resumed.
                os._exit(1)
