"""The report of a run as one page: who is ready, what is not and what to do, and all evidence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from labkit.display import summary
from labkit.events import Event, Kind
from labkit.pages import render
from labkit.past import Changes
from labkit.verdicts import CHAPTER, CHECKS, GOOD, Progress

# What a cell says of all that was tried in it: the first of these that occurred.
STATES = {
    Kind.UNREACHABLE: "unreachable",
    Kind.FAILED: "failed",
    Kind.OK: "passed",
    Kind.CHANGED: "passed",
    Kind.SKIPPED: "skipped",
}
# Where it stands that a machine could not be checked at all.
REACH = "reach"
BROKEN_OFF = "not run"
MOST_LINES = 60


@dataclass(frozen=True, slots=True)
class Told:
    """What happened in a run, and the titles of its chapters, by the part that each is."""

    events: Sequence[Event]
    titles: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Column:
    """What a column of the grid stands for; `kind` is checks or chapters."""

    key: str
    label: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a column on a machine; `change` is better, worse or nothing."""

    column: Column
    state: str
    steps: Sequence[Event]
    change: str

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return sum(one.seconds for one in self.steps)


@dataclass(frozen=True, slots=True)
class Row:
    """One machine: its verdict, and one cell per column."""

    machine: Progress
    cells: Sequence[Cell]
    good: bool
    change: str


def report_page(inventory: Path, told: Told, verdicts: Sequence[Progress], changes: Changes) -> str:
    """Return the page."""
    columns = _columns(told)
    rows = [_row(one, columns, told.events, changes) for one in verdicts]
    return render(
        "report.html.j2",
        title=inventory.parent.name or str(inventory),
        inventory=str(inventory),
        now=f"{datetime.now().astimezone():%A, %d %B %Y, %H:%M}",
        seconds=_seconds(verdicts),
        summary=summary(verdicts),
        columns=columns,
        rows=rows,
        ready=sum(row.good for row in rows),
        changes=sorted(set(changes.values())),
    )


def column_of(event: Event) -> str:
    """Return to which column an event belongs: a chapter, or the file that a check stands in."""
    if event.part != CHECKS:
        return event.part
    file = str(event.data.get("at", "")).partition("::")[0]
    return file.removeprefix("test_").removesuffix(".py") if file.endswith(".py") else REACH


def state_of(steps: Iterable[Event]) -> str:
    """Return what the steps of a cell come to; a chapter that was broken off was not run."""
    said = list(steps)
    found = {one.kind for one in said}
    broken = any(str(one.data.get("why", "")).startswith(BROKEN_OFF) for one in said)
    if broken and not found & {Kind.FAILED, Kind.UNREACHABLE}:
        return "skipped"
    return next((state for kind, state in STATES.items() if kind in found), "none")


def _columns(told: Told) -> list[Column]:
    """Return the columns that occur: checks in the order in which they run, then chapters."""
    checks: dict[str, Column] = {}
    others: dict[str, Column] = {}
    for event in told.events:
        key = column_of(event)
        if event.part == CHECKS:
            checks.setdefault(key, Column(key, key, f"checks: {key}", "checks"))
        elif event.part:
            label = key.removeprefix(f"{CHAPTER} ")
            title = f"{key}: {told.titles[key]}" if key in told.titles else key
            others.setdefault(key, Column(key, label, title, "chapters"))
    found = sorted(checks.values(), key=lambda one: one.key != REACH)
    return [*found, *(others[key] for key in sorted(others, key=_order))]


def _order(key: str) -> tuple[bool, str, int, str]:
    """Put chapters in the guide's order, A2 before A10, and what is no chapter behind them."""
    number = key.removeprefix(f"{CHAPTER} ")
    letter = number.rstrip("0123456789")
    digits = number.removeprefix(letter)
    return number == key, letter, int(digits or 0), number


def _row(
    machine: Progress, columns: Iterable[Column], events: Iterable[Event], changes: Changes
) -> Row:
    its: dict[str, list[Event]] = {}
    for event in events:
        if event.machine == machine.machine:
            its.setdefault(column_of(event), []).append(event)
    changed = {
        (column_of(event)): changes[event.machine, event.part, event.step].value
        for steps in its.values()
        for event in steps
        if (event.machine, event.part, event.step) in changes
    }
    cells = [
        Cell(one, state_of(its.get(one.key, ())), its.get(one.key, ()), changed.get(one.key, ""))
        for one in columns
    ]
    change = changes.get((machine.machine, "", ""))
    return Row(machine, cells, machine.state in GOOD, change.value if change else "")


def _seconds(verdicts: Iterable[Progress]) -> float:
    ends = [one.ended for one in verdicts if one.ended is not None]
    starts = [one.started for one in verdicts if one.started is not None]
    return max(ends) - min(starts) if ends and starts else 0.0
