"""
The checking process: `python -m labkit.checks --directory DIR`.

Reads a machine to check as one JSON object per line (see `labkit.verifier`), prints one per
finished check and one per finished machine, and ends when its input has ended and all is
checked. It is a process of its own so that pytest's life and labkit's do not touch:
imports are paid once, and forking happens where there are no threads.
"""

import argparse
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.checks.child import FILES
from labkit.checks.crew import CHUNK, Crew

# How late a machine over its time limit may be noticed.
TICK = 1.0
LIMIT = 300.0


def main() -> int:
    """Check what comes on standard input; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m labkit.checks")
    parser.add_argument("--directory", type=Path, required=True, help="private, with a short name")
    parser.add_argument("--forks", type=int, default=10, help="machines checked at once")
    parser.add_argument("--limit", type=float, default=LIMIT, help="seconds for one machine")
    options = parser.parse_args()
    warm_up()
    crew = Crew(options.directory, options.forks, options.limit, say)
    try:
        return Loop(crew).run()
    finally:
        crew.stop()


def warm_up() -> None:
    """Import for all children what each of them needs, and forget the user's pytest settings."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    for name in FILES:
        importlib.import_module(f"labkit.checks.test_{name}")


def say(message: Mapping[str, Any]) -> None:
    """Print one line of the answer."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Loop:
    """Waits for input, for children and for signals, whichever comes."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._unread = b""
        self._listening = True
        self._stopped = False
        self._bell, ringer = socket.socketpair()
        ringer.setblocking(False)  # noqa: FBT003 - Python's own signature
        signal.set_wakeup_fd(ringer.fileno())
        self._ringer = ringer
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        self._selector = selectors.DefaultSelector()
        for source in (0, self._bell.fileno()):
            self._selector.register(source, selectors.EVENT_READ)

    def run(self) -> int:
        """Go on until the input has ended and every machine is finished, or until stopped."""
        while not self._stopped and (self._listening or self._crew.busy):
            for key, _ in self._selector.select(TICK):
                if key.fd == 0:
                    self._read()
                elif key.fd in self._crew.children and self._crew.hear(key.fd):
                    self._selector.unregister(key.fd)
            self._crew.end_the_late()
            for pipe in self._crew.start():
                self._selector.register(pipe, selectors.EVENT_READ)
        return 130 if self._stopped else 0

    def _read(self) -> None:
        data = os.read(0, CHUNK)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            if line.strip():
                self._crew.add(json.loads(line))
        if not data:
            self._listening = False
            self._selector.unregister(0)

    def _stop(self, *_: object) -> None:
        self._stopped = True


if __name__ == "__main__":
    sys.exit(main())
