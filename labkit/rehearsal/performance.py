"""One chapter on the machines that it needs, from its first step until they are put back."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.checks.line import NoAnswer, Unreachable
from labkit.guide.model import Chapter, Step
from labkit.rehearsal.audience import Audience
from labkit.rehearsal.outcome import (
    AS_FOUND,
    NOT_RUN,
    NOTE,
    Outcome,
    not_tried,
    part_of,
    promise_of,
    step_result,
)
from labkit.rehearsal.reach import NotKept, Reach
from labkit.rehearsal.terminal import Stopped
from labkit.rehearsal.typist import Typist
from labkit.verifier import CheckResult

# What Docker's own programs write into a home is not what a chapter forgot to remove.
TOOLS = ("file ~/.docker", "file ~/.cache", "file ~/.local")


class Performance:
    """A chapter and its cast: the machines it needs, in the order of vm1, vm2 and on."""

    def __init__(self, chapter: Chapter, cast: Sequence[Reach], audience: Audience) -> None:
        self._chapter, self._cast = chapter, cast
        self._tell, self._begin = audience.tell, audience.begin
        self._failed = ""
        self._mesh = all(reach.mesh for reach in cast)
        self._noted = False

    def run(self) -> None:
        """
        Take all steps and tell what came of each.

        Raises:
            Stopped: The whole run is to stop; the machines are not put back yet.
        """
        typist = Typist(self._chapter, self._cast)
        try:
            for step in self._chapter.steps:
                self._take(step, typist)
        except Stopped:
            self._failed = "the run was stopped"
            raise
        finally:
            typist.close()

    def put_back(self) -> None:
        """Leave each machine as it was found, and tell where that is not possible."""
        for reach in self._cast:
            if not reach.lost:
                self._begin(reach.name, part_of(self._chapter), AS_FOUND)
                self._settle(reach)

    def _take(self, step: Step, typist: Typist) -> None:
        reach = self._cast[step.machine - 1]
        if why := self._obstacle(step):
            note = f"in part {why}" if step.needs and not self._failed and not self._noted else ""
            self._noted = self._noted or bool(note)
            self._tell(not_tried(self._chapter, step, reach.name, why, note))
            return
        self._begin(reach.name, part_of(self._chapter), promise_of(step))
        try:
            outcome = typist.carry_out(step)
        except Unreachable as gone:
            self._lose(reach, promise_of(step), gone)
            return
        except NoAnswer as silent:
            outcome = Outcome(str(silent))
        if outcome.problem:
            self._failed = f"step {step.number} failed on {reach.name}"
        self._tell(step_result(self._chapter, step, reach.name, outcome, reach.attendee))

    def _obstacle(self, step: Step) -> str:
        """Return why a step is not taken, empty if it is."""
        if self._failed:
            return f"{NOT_RUN}: {self._failed}"
        if step.skip:
            return f"left out: {step.skip}"
        wanted = not step.needs.startswith("!")
        if step.needs and wanted is not self._mesh:
            thing = "no routing mesh" if wanted else "there is a routing mesh"
            return f"left out: {thing} on these machines"
        return ""

    def _settle(self, reach: Reach) -> None:
        passed, began = not self._failed, time.monotonic()
        try:
            said = reach.keep("settle")
        except Unreachable as gone:
            self._lose(reach, AS_FOUND, gone)
        except (NotKept, NoAnswer) as error:
            reach.lost = str(error)
            why = f"cannot be told: {error}"
            # Where a step has failed, that is the reason; this is only its consequence.
            self._tell(self._as_found(reach, "failed" if passed else "skipped", why))
        else:
            result = self._compared(reach, said, passed=passed)
            self._tell(replace(result, seconds=round(time.monotonic() - began, 3)))

    def _compared(self, reach: Reach, said: Mapping[str, Any], *, passed: bool) -> CheckResult:
        if said["lost"]:
            return self._as_found(reach, "failed", "\n".join(["not put back:", *said["lost"]]))
        left = [what for what in said["left"] if not what.startswith(TOOLS)]
        forgot = f"{NOTE}put back after {part_of(self._chapter)}: {', '.join(left)}"
        return self._as_found(reach, "passed", forgot if left and passed else "")

    def _as_found(self, reach: Reach, outcome: str, detail: str) -> CheckResult:
        todo = f"look at it on {reach.name}; what labkit made comes back with labkit provision"
        return CheckResult(
            reach.name,
            self._chapter.place,
            AS_FOUND,
            outcome,
            todo=todo if outcome == "failed" else "",
            detail=detail,
            part=part_of(self._chapter),
        )

    def _lose(self, reach: Reach, during: str, gone: Unreachable) -> None:
        reach.lost = str(gone) or "the connection ended without a word"
        self._failed = self._failed or f"{reach.name} became unreachable"
        part = part_of(self._chapter)
        result = CheckResult(
            reach.name, self._chapter.place, during, "unreachable", seen=reach.lost, part=part
        )
        self._tell(result)
