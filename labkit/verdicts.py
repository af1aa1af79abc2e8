"""From what happened on the machines to one verdict for each."""

from dataclasses import dataclass, field
from enum import StrEnum

from labkit.events import Event, Kind, Reason

CHECKS = "checks"
# The parts in which chapters of the guide are carried out are this word and a number.
CHAPTER = "chapter"
REHEARSAL = "rehearsal"
# The last task of the playbook: a machine that gets here has all its roles behind it.
PROVISIONED = "Ready to be checked"
# What stands for a check's name where labkit itself could not carry out any.
UNCHECKED = "labkit"
# A check made before any role found that one is needed.
DRIFTED = "drifted"


class State(StrEnum):
    """What is said of a machine in the end; the first four only while a run goes on."""

    WAITING = "waiting"
    WORKING = "working"
    CHECKING = "checking"
    REHEARSING = "rehearsing"
    READY = "ready"
    PROVISIONED = "provisioned"
    NOT_READY = "not ready"
    UNREACHABLE = "unreachable"
    INTERRUPTED = "interrupted"
    DRY_RUN = "dry run"


FINAL = frozenset(State) - {State.WAITING, State.WORKING, State.CHECKING, State.REHEARSING}
GOOD = frozenset({State.READY, State.PROVISIONED, State.DRY_RUN})


def tries(part: str) -> bool:
    """Tell whether what fails in this part is a finding, after which the others are tried."""
    return part in {CHECKS, REHEARSAL} or part.startswith(f"{CHAPTER} ")


@dataclass(slots=True)
class Progress:
    """
    How far one machine has come, and its verdict once it has one.

    `started`, `begun` (the current step) and `ended` are in seconds since the epoch.
    """

    machine: str
    seat: str
    state: State = State.WAITING
    step: str = ""
    part: str = ""
    started: float | None = None
    begun: float | None = None
    ended: float | None = None
    steps: int = 0
    changed: int = 0
    checks: int = 0
    reasons: list[Reason] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, event: Event, now: float) -> None:
        """Go one event further; what fails beside a mate that came late takes "ready" back."""
        if self.started is None:
            self.started = now
        self.notes += [note for note in event.notes if note not in self.notes]
        self.reasons += event.reasons
        if self.state in FINAL:
            if event.reasons and self.state in GOOD:
                self.state = State.NOT_READY
            return
        if event.kind is not Kind.NOTE:
            self._step(event, now)
        if event.kind is Kind.UNREACHABLE:
            self.end(State.UNREACHABLE, now)
        elif event.kind is Kind.FAILED and not tries(event.part):
            self.end(State.NOT_READY, now)

    def end(self, state: State, now: float) -> None:
        """Fix the verdict; a machine has exactly one."""
        if self.state not in FINAL:
            self.state = state
            self.ended = now

    def demote(self, reason: Reason) -> None:
        """Take "ready" back: what shows only beside another machine shows late."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        if self.state in GOOD:
            self.state = State.NOT_READY

    def checked(self, now: float) -> None:
        """Say what the checks came to; a machine that was never checked is not ready."""
        if not self.checks and self.state is not State.UNREACHABLE:
            self.reasons.append(Reason("Check the machine", "not one check ran"))
        self.end(State.NOT_READY if self.reasons else State.READY, now)

    def _step(self, event: Event, now: float) -> None:
        self.begun = now if event.kind is Kind.START else None
        if event.part == CHECKS:
            self.state = State.CHECKING
        else:
            self.state = State.REHEARSING if tries(event.part) else State.WORKING
        self.step, self.part = event.step, event.part
        if event.kind in {Kind.OK, Kind.CHANGED, Kind.SKIPPED, Kind.FAILED}:
            self.steps += 1
            self.changed += event.kind is Kind.CHANGED
            self.checks += event.part == CHECKS and event.kind in {Kind.OK, Kind.FAILED}
