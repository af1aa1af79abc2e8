"""The children of the checking process: one for each machine, never more than may be."""

import json
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.checks.child import check
from labkit.checks.reporter import Tell, broken

CHUNK = 65536


@dataclass(slots=True)
class Child:
    """One process that checks one machine, and what it has said so far."""

    machine: str
    pid: int
    pipe: int
    started: float = field(default_factory=time.monotonic)
    unread: bytes = b""
    current: str = "the connection"
    finished: bool = False
    late: bool = False


class Crew:
    """
    Forks a child per machine, at most `forks` at once, and passes on what they tell.

    The children inherit the imports that the parent has paid for once. Each leads a
    process group of its own, its ssh included.
    """

    def __init__(self, directory: Path, forks: int, limit: float, tell: Tell) -> None:
        self._directory = directory
        self._forks = forks
        self._limit = limit
        self._tell = tell
        self._waiting: deque[Mapping[str, Any]] = deque()
        self.children: dict[int, Child] = {}

    @property
    def busy(self) -> bool:
        """Whether anything is still to be checked."""
        return bool(self._waiting or self.children)

    def add(self, machine: Mapping[str, Any]) -> None:
        """Take a machine to be checked as soon as there is room."""
        self._waiting.append(machine)

    def start(self) -> list[int]:
        """Start as many children as there may be; return the pipes of the new ones."""
        new = []
        while self._waiting and len(self.children) < self._forks:
            child = self._fork(self._waiting.popleft())
            self.children[child.pipe] = child
            new.append(child.pipe)
        return new

    def hear(self, pipe: int) -> bool:
        """Take what a child has told; return whether it has ended, and its pipe with it."""
        child = self.children[pipe]
        data = os.read(pipe, CHUNK)
        *lines, child.unread = (child.unread + data).split(b"\n")
        for line in lines:
            self._take(child, json.loads(line))
        if not data:
            self._bury(child)
        return not data

    def end_the_late(self) -> None:
        """Kill each child that has had its time; that it is gone is told when its pipe ends."""
        for child in self.children.values():
            if not child.late and time.monotonic() - child.started > self._limit:
                child.late = True
                _kill(child.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Kill all children and their ssh, at once and without a word."""
        self._waiting.clear()
        for child in self.children.values():
            _kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
        self.children.clear()

    def _fork(self, machine: Mapping[str, Any]) -> Child:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            _be_child(machine, self._directory, writing)
        os.close(writing)
        return Child(machine["name"], pid, reading)

    def _take(self, child: Child, message: Mapping[str, Any]) -> None:
        if "started" in message:
            child.current = message["started"]
            return
        child.finished = child.finished or "finished" in message
        self._tell({"machine": child.machine, **message})

    def _bury(self, child: Child) -> None:
        os.close(child.pipe)
        del self.children[child.pipe]
        _kill(child.pid, signal.SIGKILL)  # an ssh that outlived it
        _, status = os.waitpid(child.pid, 0)
        if child.finished:
            return
        seconds = round(time.monotonic() - child.started, 3)
        self._tell({"machine": child.machine, **self._obituary(child, status), "seconds": seconds})
        self._tell(
            {"machine": child.machine, "finished": True, "seconds": seconds, "identity": {}},
        )

    def _obituary(self, child: Child, status: int) -> dict[str, Any]:
        if child.late:
            return broken(
                f"all checks of a machine take less than {self._limit:g} s",
                f"they took longer; the last one started was {child.current}",
            ) | {"todo": "look what keeps the machine busy: top"}
        code = os.waitstatus_to_exitcode(status)
        return broken(
            "the checks run to their end",
            f"their process ended with {code} during {child.current}",
        )


def _kill(group: int, number: int) -> None:
    """Signal a child and its ssh; it may be gone already, or not yet lead a group."""
    for send in (os.killpg, os.kill):
        try:
            send(group, number)
        except ProcessLookupError:
            continue


def _be_child(machine: Mapping[str, Any], directory: Path, writing: int) -> None:
    # Whatever happens, it must not go on as its parent, who would stop the other children.
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (sys.stdin, sys.stdout, sys.stderr):
            os.dup2(nothing, stream.fileno())
        with tempfile.TemporaryDirectory(prefix="", dir=directory) as place:
            check(machine, Path(place), _teller(writing))
    finally:
        os._exit(0)


def _teller(writing: int) -> Callable[[Mapping[str, Any]], None]:
    def tell(message: Mapping[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(writing, data) :]

    return tell
