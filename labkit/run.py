"""One run over the machines of a class: events come in, one verdict per machine comes out."""

import queue
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from labkit.classroom import Class, Machine
from labkit.display import Show
from labkit.errors import BadInput
from labkit.events import Event, Kind, Reason
from labkit.hints import duplicates, explain
from labkit.hostkeys import known_name, new_keys
from labkit.record import Record, unfinished
from labkit.runner import Stop
from labkit.verdicts import FINAL, Progress, State

TICK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Checked:
    """A machine's checks are over, and what was to follow them."""

    machine: str


class Run:
    """
    Collects what happens on the chosen machines.

    Other threads only `put`; everything is taken, written down and shown by the one thread
    that calls `follow`.
    """

    def __init__(
        self, machines: Sequence[Machine], known_hosts: Path, record: Record, show: Show
    ) -> None:
        self.machines = {one.name: one for one in machines}
        self.progress = {one.name: Progress(one.name, one.seat) for one in machines}
        self.events: list[Event] = []
        self.put = (items := queue.SimpleQueue[Event | Checked]()).put
        self._items = items
        self._record, self._show = record, show
        self._contacts = _Contacts(known_hosts)
        self._identities: dict[str, dict[str, str]] = {}
        show.begin(self.verdicts)

    @property
    def verdicts(self) -> list[Progress]:
        """All machines, in the inventory's order."""
        return list(self.progress.values())

    def follow(
        self,
        busy: Callable[[], bool],
        on_event: Callable[[Event], None] = lambda _: None,
    ) -> None:
        """Take what comes until nothing is busy any more and nothing is left."""
        while True:
            working = busy()
            try:
                self._take(self._items.get(timeout=TICK_SECONDS), on_event)
            except queue.Empty:
                if not working:
                    return
            self._show.tick(time.time())

    def begin(self, machine: str, part: str, step: str) -> None:
        """Say from any thread what is tried on a machine now."""
        self.put(Event(Kind.START, machine, step, part))

    def done(self, machine: str) -> None:
        """Say from any thread that all is tried on a machine, so that it gets its verdict."""
        self.put(Checked(machine))

    def end(self, machine: str, state: State) -> None:
        """Fix a machine's verdict."""
        self.progress[machine].end(state, time.time())

    def close(self, *, interrupted: bool) -> list[Progress]:
        """Give a verdict to whoever has none, write all down and show them."""
        for one in self.verdicts:
            if one.state not in FINAL and not interrupted:
                one.reasons.append(
                    Reason("Go through the machine", "the run ended before this machine was done")
                )
            one.end(State.INTERRUPTED if interrupted else State.NOT_READY, time.time())
        # What shows only beside another machine shows when all are known.
        for machine, reason in duplicates(self._identities):
            self.progress[machine].demote(reason)
        self._record.close(self.verdicts)
        self._show.end(self.verdicts)
        return self.verdicts

    def _take(self, item: Event | Checked, on_event: Callable[[Event], None]) -> None:
        if isinstance(item, Checked):
            self.progress[item.machine].checked(time.time())
            return
        if item.machine not in self.progress:
            return
        for event in (explain(item), *self._contacts.met(self.machines[item.machine], item)):
            now = time.time()
            self.progress[event.machine].take(event, now)
            self._record.take(event, now)
            self._show.take(event, self.progress[event.machine])
            if event.kind not in {Kind.START, Kind.NOTE}:
                self.events.append(event)
            on_event(event)
        if identity := item.data.get("identity"):
            self._identities[item.machine] = identity


class _Contacts:
    """Notices whose host key was accepted for the first time in this run."""

    def __init__(self, known_hosts: Path) -> None:
        self._file = known_hosts
        self._before = self._read()
        self._met: set[str] = set()

    def met(self, machine: Machine, event: Event) -> Iterator[Event]:
        """
        Yield a note with the fingerprint once the machine's key is in the file.

        That may be some events after its first one: not every task goes to the machine.
        """
        if machine.name in self._met or event.kind in {Kind.START, Kind.NOTE, Kind.UNREACHABLE}:
            return
        name = known_name(machine.connection.host, machine.connection.port)
        for key in new_keys(self._before, self._read(), [name]):
            if key.host == name:
                self._met.add(machine.name)
                kept = f"kept in {self._file.name}"
                note = f"first contact: its {key.kind} key {key.fingerprint} is {kept}"
                yield Event(Kind.NOTE, machine.name, "first contact", notes=(note,))

    def _read(self) -> str:
        # A comment may be in any encoding.
        return self._file.read_text("utf-8", "replace") if self._file.exists() else ""


def choose(known: Class, *, retry_failed: bool) -> list[Machine]:
    """
    Return the machines of this run.

    Raises:
        BadInput: The limit leaves none.
    """
    chosen = list(known.chosen)
    if not chosen:
        raise BadInput(
            "--limit leaves no machine", "ansible-inventory --graph lists groups and machines"
        )
    if retry_failed:
        chosen = unfinished(known.directory, chosen)
    return [one for one in known.machines if one.name in set(chosen)]


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a request to stop; a second one is taken at once."""

    def ask(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python calls it so
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
