"""What a run looks like off a terminal, as JSON, and in its closing report."""

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from labkit.depot.stock.upstream import Limits
from labkit.events import Event, Kind, Reason
from labkit.quantities import allowance
from labkit.verdicts import GOOD, Progress, State

COLOURS = {
    Kind.OK: "green",
    Kind.CHANGED: "yellow",
    Kind.FAILED: "red",
    Kind.UNREACHABLE: "red",
    State.READY: "green",
    State.PROVISIONED: "green",
    State.NOT_READY: "red",
    State.UNREACHABLE: "red",
    State.INTERRUPTED: "yellow",
    State.DRY_RUN: "cyan",
}
# What happens on a machine without being worth a line of its own, unless asked for.
QUIET = frozenset({Kind.START, Kind.SKIPPED})
SLOWEST = 10
# Seconds between two lines that say how far it is, off a terminal.
PACE = 10
MEGABYTE = 1_000_000


class Show(Protocol):
    """What looks at a run: each event once, then all verdicts. Leaving it clears the screen."""

    def __enter__(self) -> Self:
        """Start looking."""

    def __exit__(self, *error: object) -> None:
        """Stop looking, whatever happened."""

    def begin(self, machines: Sequence[Progress]) -> None:
        """Learn whom it is about."""

    def take(self, event: Event, progress: Progress) -> None:
        """Show one event."""

    def tick(self, now: float) -> None:
        """Show that time goes by; `now` in seconds since the epoch."""

    def end(self, machines: Sequence[Progress]) -> None:
        """Show the verdicts."""


class Still:
    """A show that draws nothing which would have to be taken away."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def tick(self, now: float) -> None:
        """Say nothing: a log is not redrawn."""


class Plain(Still):
    """One line per event, for logs and pipes."""

    def __init__(self, console: Console, verbosity: int = 0) -> None:
        self.console = console
        self.verbosity = verbosity
        self.width = 0
        self.events: list[Event] = []

    def begin(self, machines: Sequence[Progress]) -> None:
        """Learn how wide the column of names is."""
        self.width = max((len(one.machine) for one in machines), default=0)

    def take(self, event: Event, progress: Progress) -> None:  # noqa: ARG002 - a line needs no history
        """Print one line, and one for each note."""
        self.events.append(event)
        name = f"{event.machine:{self.width}}"
        if event.kind is not Kind.NOTE and (self.verbosity or event.kind not in QUIET):
            step = f"{event.part}: {event.step}" if event.part else event.step
            line = Text(f"{name}  ")
            line.append(f"{event.kind:<11}", COLOURS.get(event.kind, ""))
            line.append(f" {step} ({event.seconds:.1f} s)" if event.seconds else f" {step}")
            self.console.print(line)
        for reason in event.reasons:
            self.console.print(reason_lines(reason))
        for note in event.notes:
            self.console.print(Text(f"{name}  note        {note}"))

    def end(self, machines: Sequence[Progress]) -> None:
        """Print the report, and what took longest if asked for much."""
        report(self.console, machines)
        if self.verbosity:
            self.console.print("\nslowest:", *slowest(self.events), sep="\n")


class Json(Still):
    """One JSON object per line on standard output, and nothing else there."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def begin(self, machines: Sequence[Progress]) -> None:
        """Say nothing yet."""

    def take(self, event: Event, progress: Progress) -> None:  # noqa: ARG002 - an object needs no history
        """Print one event."""
        self._print({"type": "event", **asdict(event)})

    def end(self, machines: Sequence[Progress]) -> None:
        """Print one verdict per machine."""
        for one in machines:
            self._print({"type": "verdict", **asdict(one)})

    def _print(self, value: dict[str, object]) -> None:
        print(json.dumps(value), file=self.stream, flush=True)


class Steps:
    """The steps of a command that nobody can count beforehand, each line said as it begins."""

    def __init__(self, console: Console) -> None:
        self._console = console
        # A clock beside each step; what is over keeps the time that it took.
        columns = (SpinnerColumn(finished_text="·"), TextColumn("{task.description}"))
        self._bars = Bars(*columns, TimeElapsedColumn(), console=console)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._finish()
        self._bars.stop()

    def tell(self, line: str) -> None:
        """Say what begins now, which ends what was begun before."""
        self._finish()
        if self._console.is_terminal:
            self._bars.add_task(escape(line), total=1)
        else:
            self._console.print(f"· {line}", markup=False, highlight=False, soft_wrap=True)

    def _finish(self) -> None:
        for task in self._bars.tasks:
            self._bars.update(task.id, completed=1)


class Sheet:
    """What a verb found out, when it has all of it: a table, lines, and what to do last."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def table(self, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows under their heads; what can be counted stands to the right."""
        made = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            made.add_column(name)
        for row in rows:
            made.add_row(*map(Text, row))
        self._console.print(made)
        self._console.print()

    def line(self, text: str) -> None:
        """Print a line."""
        self._console.print(Text(text))

    def warn(self, reason: Reason, *, stops: bool) -> None:
        """Print what is wrong, and what to do."""
        self._console.print()
        self._console.print(
            Text(
                "it cannot work like this" if stops else "look at this",
                "bold red" if stops else "bold yellow",
            )
        )
        self._console.print(reason_lines(reason))


def print_objects(values: Iterable[Mapping[str, object]], stream: TextIO | None = None) -> None:
    """Print one JSON object per line, and nothing else."""
    for value in values:
        print(json.dumps(value), file=stream or sys.stdout, flush=True)


class Freight:
    """Bytes on their way: a bar on a terminal, else a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._bar = self._bars.add_task("", total=None, visible=False)
        self._said, self._told = time.monotonic(), ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        # It would end a line that nobody began.
        if self._console.is_terminal:
            self._bars.stop()

    def begin(self, what: str) -> None:
        """Learn what it is about."""
        self._bars.update(self._bar, description=escape(what), visible=True)
        if not self._console.is_terminal:
            self._line(what)

    def note(self, text: str) -> None:
        """Say something that the instructor should know."""
        self._line(text)

    def take(self, said: Mapping[str, Any]) -> None:
        """Show what the depot said: how far it is, what the Hub allows, or a note."""
        if "total" in said:
            self._count(said["done"], said["total"])
        elif "limits" in said:
            self._line(f"pulls from Docker Hub: {allowance(Limits(**said['limits']))}")
        elif "missing" in said:
            self._line(f"{said['missing']} of {said['blobs']} blobs have to come")
        elif "note" in said:
            self.note(said["note"])

    def _count(self, done: int, total: int) -> None:
        now = time.monotonic()
        self._bars.update(self._bar, completed=done, total=total or None)
        if self._console.is_terminal or not total or now - self._said < PACE:
            return
        text = f"{done / MEGABYTE:.0f} of {total / MEGABYTE:.0f} MB"
        # A depot that checks what it has, or waits, says the same again and again.
        if text != self._told:
            self._said, self._told = now, text
            self._line(text)

    def _line(self, text: str) -> None:
        self._console.print(f"· {text}", markup=False, highlight=False, soft_wrap=True)


class JsonFreight(Freight):
    """The same as JSON, an object per line on standard output."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._stream = sys.stdout

    def begin(self, what: str) -> None:
        """Print what it is about."""
        self.take({"begin": what})

    def note(self, text: str) -> None:
        """Print it."""
        self.take({"note": text})

    def take(self, said: Mapping[str, Any]) -> None:
        """Print all that is said."""
        print(json.dumps({"type": next(iter(said)), **said}), file=self._stream, flush=True)


def reason_lines(reason: Reason) -> Text:
    """Return what was tried, what it answered and what to do, indented under the machine."""
    answer = reason.answer.splitlines() or [""]
    text = Text(f"    {reason.tried}: ", "bold").append(answer[0], "not bold")
    for line in answer[1:]:
        text.append(f"\n      {line}", "not bold")
    if reason.todo:
        text.append(f"\n    → {reason.todo}", "not bold cyan")
    return text


def report(console: Console, machines: Sequence[Progress]) -> None:
    """Print each machine's verdict with its reasons and notes, and the count of each verdict."""
    width = max((len(one.machine) for one in machines), default=0)
    console.print()
    for one in machines:
        line = Text(f"{one.machine:{width}}  ")
        line.append(f"{one.state:<12}", f"bold {COLOURS.get(one.state, '')}".strip())
        if one.ended is not None and one.started is not None:
            line.append(f"{one.ended - one.started:5.0f} s")
        line.append(f"  {one.changed} changed" if one.changed else "")
        console.print(line)
        for reason in one.reasons:
            console.print(reason_lines(reason))
        for note in one.notes:
            console.print(Text(f"    {note}", "dim"))
    console.print(Text(f"\n{summary(machines)}"))


def summary(machines: Iterable[Progress]) -> str:
    """Return the count of each verdict, like "2 ready, 1 unreachable"."""
    states = [one.state for one in machines]
    counted = [(state, states.count(state)) for state in State if state in states]
    counted.sort(key=lambda pair: pair[0] not in GOOD)
    return ", ".join(f"{count} {state}" for state, count in counted)


def slowest(events: Iterable[Event]) -> list[str]:
    """Return lines that name the steps which took longest, over all machines."""
    finished = sorted((one for one in events if one.seconds), key=lambda one: -one.seconds)
    return [f"{one.seconds:7.1f} s  {one.machine}  {one.step}" for one in finished[:SLOWEST]]
