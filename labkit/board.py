"""The live view of a run in the terminal: one line per machine."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.table import Table
from rich.text import Text

from labkit.display import COLOURS, report, summary
from labkit.events import Event, Kind
from labkit.verdicts import FINAL, GOOD, Progress, State

MARKS = {
    State.WAITING: "·",
    State.WORKING: "▸",
    State.CHECKING: "?",
    State.REHEARSING: "▸",
    State.READY: "✓",
    State.PROVISIONED: "✓",
    State.NOT_READY: "✗",
    State.UNREACHABLE: "✗",
    State.INTERRUPTED: "-",
    State.DRY_RUN: "✓",
}
# Lines that are not machines: title, summary, folded machines, and one spare.
FRAME_LINES = 4
REFRESH_SECONDS = 0.25
NARROW = 60


@dataclass(slots=True)
class Board:
    """
    The board's content; rendering it reads the clock from `now` and changes nothing.

    `usual` is step → seconds of an earlier run, from which the time left is guessed.
    """

    title: str
    machines: Sequence[Progress] = ()
    usual: Mapping[str, float] = field(default_factory=dict)
    done: dict[str, set[str]] = field(default_factory=dict)
    now: float = 0.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text(
            f"{self.title} · {summary(self.machines)}", "bold", no_wrap=True, overflow="ellipsis"
        )
        height = options.height or console.height
        shown, folded = self.fold(max(height - FRAME_LINES, 1))
        yield self._table(shown, narrow=options.max_width < NARROW)
        if folded:
            yield Text(f"… and {len(folded)} more: {summary(folded)}", "dim", no_wrap=True)

    def fold(self, lines: int) -> tuple[list[Progress], list[Progress]]:
        """Return the machines that fit into so many lines, and the rest; trouble is shown first."""
        if len(self.machines) <= lines:
            return list(self.machines), []
        importance = sorted(self.machines, key=_least_telling)
        kept = {one.machine for one in importance[:lines]}
        shown = [one for one in self.machines if one.machine in kept]
        return shown, [one for one in self.machines if one.machine not in kept]

    def seconds_left(self, one: Progress) -> float | None:
        """Return the guess for one machine, None where no earlier run tells."""
        if not self.usual or one.state in FINAL:
            return None
        done = self.done.get(one.machine, set())
        return sum(seconds for step, seconds in self.usual.items() if step not in done)

    def _table(self, machines: Sequence[Progress], *, narrow: bool) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, width=11)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, justify="right", width=0 if narrow else 13)
        for one in machines:
            colour = COLOURS.get(one.state, "")
            table.add_row(
                Text(MARKS[one.state], colour),
                one.machine,
                Text(one.state, colour),
                Text(self._doing(one)),
                Text("" if narrow else self._times(one), "dim"),
            )
        return table

    def _doing(self, one: Progress) -> str:
        step = f"{one.part}: {one.step}" if one.part else one.step
        if one.begun is not None and self.now - one.begun >= 1:
            step += f" ({self.now - one.begun:.0f} s)"
        if one.reasons and one.state is State.REHEARSING:
            return f"{len(one.reasons)} failed · {step}"
        if one.reasons:
            reason = one.reasons[0]
            return f"{reason.tried}: {reason.answer}".splitlines()[0]
        if one.state in GOOD:
            return one.notes[0] if one.notes else ""
        return step

    def _times(self, one: Progress) -> str:
        if one.started is None:
            return ""
        left = self.seconds_left(one)
        elapsed = _clock((one.ended or self.now) - one.started)
        return f"{elapsed} (-{_clock(left)})" if left else elapsed


class LiveBoard:
    """Draws the board while a run goes on, and the report when it is over."""

    def __init__(self, console: Console, title: str, usual: Mapping[str, float]) -> None:
        self.console = console
        self.board = Board(title, usual=usual)
        self._live = Live(self.board, console=console, auto_refresh=False, transient=True)
        self._drawn = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def begin(self, machines: Sequence[Progress]) -> None:
        """Show all machines as waiting."""
        self.board.machines = machines
        self.board.now = time.time()
        self._live.start(refresh=True)

    def take(self, event: Event, progress: Progress) -> None:
        """Note what is done; the next tick draws it."""
        if event.kind is not Kind.START:
            self.board.done.setdefault(progress.machine, set()).add(event.step)

    def tick(self, now: float) -> None:
        """Draw, four times a second at most."""
        if now - self._drawn >= REFRESH_SECONDS:
            self._drawn = self.board.now = now
            self._live.refresh()

    def end(self, machines: Sequence[Progress]) -> None:
        """Take the board away and print the report in its place."""
        self._live.stop()
        report(self.console, machines)


def _least_telling(one: Progress) -> int:
    if one.state in {State.NOT_READY, State.UNREACHABLE}:
        return 0
    busy = {State.REHEARSING: 1, State.CHECKING: 1, State.WORKING: 1, State.WAITING: 2}
    return busy.get(one.state, 3)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02}"
