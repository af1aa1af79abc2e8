"""Carries out the steps of one chapter, at a window for each machine and terminal."""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from labkit.guide.match import ANY, compare, fits
from labkit.guide.model import Chapter, Does, Step
from labkit.rehearsal.outcome import Outcome
from labkit.rehearsal.reach import Reach
from labkit.rehearsal.screen import without_echo
from labkit.rehearsal.terminal import CTRL_C, Complete, Gone, Rest, Terminal, TooLong

SECONDS_BETWEEN_TRIES = 1.0
# What has to tidy up, as Compose, may take up to ten seconds after the first one.
SECONDS_BETWEEN_PRESSES = 12.0


@dataclass(slots=True)
class Window:
    """A terminal, the program's prompt at which it rests, and what runs in it meanwhile."""

    terminal: Terminal
    prompt: str = ""
    running: str = ""


class Failed(Exception):
    """A step that cannot be carried out; the text says why."""


class Typist:
    """
    The attendee of one chapter; `cast` are the machines, in the order of vm1, vm2 and on.

    Windows are opened when something is typed there for the first time.
    """

    def __init__(self, chapter: Chapter, cast: Sequence[Reach]) -> None:
        self._cast = cast
        self._windows: dict[tuple[int, int], Window] = {}
        self._printed: list[str] = []
        typed = [step for step in chapter.steps if step.does is Does.TYPE and not step.skip]
        # What begins a program is known by the prompt that the next step is typed at.
        self._begins = {
            step.number
            for place in {step.place for step in typed}
            for step, after in pairwise([step for step in typed if step.place == place])
            if after.prompt
        }

    def carry_out(self, step: Step) -> Outcome:
        """
        Return how the step ended, tried again as long as it may be.

        Raises:
            Unreachable, Stopped: It did not end.
        """
        began = time.monotonic()
        while True:
            outcome = self._once(step)
            took = time.monotonic() - began
            if not outcome.problem or took >= step.until or not self._rests(step):
                return replace(outcome, seconds=took)
            time.sleep(SECONDS_BETWEEN_TRIES)

    def close(self) -> None:
        """Close all windows, and so end what runs in them."""
        for window in self._windows.values():
            window.terminal.close()

    def _once(self, step: Step) -> Outcome:
        reach = self._cast[step.machine - 1]
        if step.does is Does.WRITE:
            return Outcome(reach.write(step.file, step.text))
        window = None
        try:
            window = self._window(step)
            return self._do(step, window)
        except Failed as failed:
            problem = str(failed)
        except Complete as early:
            problem = f"it was complete before the line: {early}"
        except Gone as gone:
            reach.answers()
            problem = f"the terminal has ended: {gone}"
        return Outcome(problem, window.terminal.seen if window else "")

    def _window(self, step: Step) -> Window:
        if step.place not in self._windows:
            reach = self._cast[step.machine - 1]
            try:
                self._windows[step.place] = Window(reach.terminal())
            except Gone as gone:
                reach.answers()
                raise Failed(f"{reach.attendee} cannot log in: {gone}") from None
            except TooLong:
                raise Failed(f"{reach.attendee} logs in and gets no shell") from None
        return self._windows[step.place]

    def _do(self, step: Step, window: Window) -> Outcome:
        try:
            return (
                self._press(step, window) if step.does is Does.PRESS else self._type(step, window)
            )
        except TooLong:
            window.running = step.title
            wanted = f"line that matches {step.background}" if step.background else "end"
            raise Failed(f"no {wanted} within {step.limit:g} s") from None

    def _press(self, step: Step, window: Window) -> Outcome:
        window.terminal.press(CTRL_C)
        try:
            rest = window.terminal.await_rest(min(step.limit, SECONDS_BETWEEN_PRESSES))
        except TooLong:
            # Between two programs of a line it may meet neither: people press again.
            window.terminal.press(CTRL_C)
            rest = window.terminal.await_rest(step.limit)
        return self._ended(step, window, rest)

    def _type(self, step: Step, window: Window) -> Outcome:
        self._come_to_rest(step, window)
        if step.prompt and not window.prompt:
            raise Failed("the program that this is typed into has ended")
        if window.prompt and not step.prompt:
            raise Failed(f"the program before has not ended: it waits at {window.prompt}")
        if not fits(step.prompt, window.prompt):
            raise Failed(f"the prompt is {window.prompt} instead of {step.prompt}")
        text = self._pasted(step)
        window.terminal.type(text, step.limit)
        echo = text if step.prompt else ""
        if step.background:
            return self._begun(step, window, echo)
        inner = bool(window.prompt) or step.number in self._begins
        rest = window.terminal.await_rest(step.limit, inner=inner)
        return self._ended(step, window, rest, echo)

    def _come_to_rest(self, step: Step, window: Window) -> None:
        """Wait for what another window may have ended meanwhile."""
        if window.running:
            try:
                window.prompt = window.terminal.await_rest(step.limit).prompt
            except TooLong:
                raise Failed(f"this still runs in its terminal: {window.running}") from None
            window.running = ""

    def _begun(self, step: Step, window: Window, typed: str) -> Outcome:
        ended = window.terminal.await_line(step.background, step.limit)
        lines = window.terminal.seen.split("\n")
        if ended:
            how = f"it ended with exit {ended.status} before a line matched {step.background}"
            return Outcome(how, "\n".join(lines))
        window.running = step.title
        count = next(
            place for place, line in enumerate(lines, 1) if re.search(step.background, line)
        )
        printed = without_echo("\n".join(lines[:count]), typed)
        return self._judged(step, printed, Rest())

    def _ended(self, step: Step, window: Window, rest: Rest, typed: str = "") -> Outcome:
        window.running, window.prompt = "", rest.prompt
        output = without_echo(window.terminal.seen, typed)
        if rest.prompt:
            output = output.rpartition(rest.prompt)[0]
        return self._judged(step, output, rest)

    def _judged(self, step: Step, output: str, rest: Rest) -> Outcome:
        self._printed.append(output)
        difference = compare(step.expected, output.split("\n")) if step.expected else None
        problem = ""
        if rest.status is not None and step.exit not in {None, rest.status}:
            problem = f"exit {rest.status} instead of {step.exit}"
        elif difference and difference.missing:
            problem = f"no line like: {difference.missing.strip()}"
        elif difference:
            problem = "more is printed than expected"
        return Outcome(problem, output, difference.diff if difference else ())

    def _pasted(self, step: Step) -> str:
        """Return what is typed, words with `...` replaced by what was printed last like them."""
        if not step.paste:
            return step.text

        def look_up(word: re.Match[str]) -> str:
            like = r"\S*".join(re.escape(piece) for piece in word[0].split(ANY))
            found = re.findall(rf"(?<!\S){like}(?!\S)", "\n".join(self._printed))
            if not found:
                raise Failed(f"nothing was printed that looks like {word[0]}")
            return str(found[-1])

        return re.sub(rf"\S*{re.escape(ANY)}\S*", look_up, step.text)

    def _rests(self, step: Step) -> bool:
        return step.place in self._windows and not self._windows[step.place].running
