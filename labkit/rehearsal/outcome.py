"""What came of a step, as the result that boards, records and reports are made of."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.guide.model import Chapter, Step
from labkit.rehearsal.advice import advice
from labkit.verdicts import CHAPTER
from labkit.verifier import CheckResult

# Of a longer output the end is kept: it is there that programs say what went wrong.
MOST_LINES = 200
ANSWER_LINES = 12
# Who has it joins the swarm, which may outlive a rehearsal that was cut off.
TOKEN = re.compile(r"SWMTKN-1-[0-9a-z-]+")
NOTE = "note: "
NOT_RUN = "not run"
AS_FOUND = "the machine is left as it was found"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a step ended: `problem` in one line, empty if all was well, `diff` where there is one."""

    problem: str = ""
    output: str = ""
    diff: Sequence[str] = ()
    seconds: float = field(default=0.0, kw_only=True)

    @property
    def answer(self) -> str:
        """What is told of a step that failed."""
        lines = self.diff or _end(self.output, ANSWER_LINES)
        return _shown("\n".join([self.problem, *lines]))


def part_of(chapter: Chapter) -> str:
    """Return the part of a run that a chapter is."""
    return f"{CHAPTER} {chapter.number}"


def promise_of(step: Step) -> str:
    """Return what a step is called in its chapter."""
    return f"step {step.number}: {step.title}"


def step_result(
    chapter: Chapter, step: Step, machine: str, outcome: Outcome, attendee: str
) -> CheckResult:
    """Return the result of a step that was tried."""
    place = f"{chapter.place}:{step.line}"
    answer = outcome.answer if outcome.problem else ""
    by_hand = f"try it by hand on {machine} as {attendee}: it stands in {place}"
    return CheckResult(
        machine,
        place,
        promise_of(step),
        "failed" if outcome.problem else "passed",
        round(outcome.seconds, 3),
        "\n".join(step.expected),
        _shown(outcome.output),
        (advice(answer, machine) or by_hand) if outcome.problem else "",
        answer,
        part_of(chapter),
        _shown("\n".join(_end(outcome.output, MOST_LINES))),
    )


def not_tried(
    chapter: Chapter, step: Step | None, machine: str, why: str, note: str = ""
) -> CheckResult:
    """Return the result of a step, or of a whole chapter; `note` is for the instructor's eye."""
    return CheckResult(
        machine,
        f"{chapter.place}:{step.line}" if step else chapter.place,
        promise_of(step) if step else chapter.title,
        "skipped",
        detail=f"{NOTE}{part_of(chapter)} {note}" if note else why,
        part=part_of(chapter),
    )


def _end(output: str, count: int) -> list[str]:
    lines = output.rstrip().split("\n")
    return (
        [f"… {len(lines) - count} lines before", *lines[-count:]] if len(lines) > count else lines
    )


def _shown(text: str) -> str:
    return TOKEN.sub("SWMTKN-1-…", text)
