"""The verb `verify`: try every promise on every machine, and say which machines are ready."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from labkit.authority import read_authority
from labkit.classroom import Class, Machine, Request, read_class
from labkit.display import Show
from labkit.events import AGAIN, NOTE, Event, Kind, Reason
from labkit.hold import hold
from labkit.lock import locked_digests
from labkit.logins import needs_password, read_passwords
from labkit.past import Changes, Past, compare, notes, read_past
from labkit.record import Record, locked_engine
from labkit.refusals import refuse_unwritable
from labkit.rehearsal.audience import Audience
from labkit.rehearsal.leash import leash
from labkit.rehearsal.opening import Means
from labkit.rehearsal.plan import Plan, Wish, make_plan
from labkit.rehearsal.rehearsal import Rehearsal
from labkit.report import Told, report_page
from labkit.run import Run, choose, interruptible
from labkit.runner import Stop
from labkit.scratch import run_directory
from labkit.seat.seats import Ears, Seats
from labkit.verdicts import CHAPTER, CHECKS, DRIFTED, UNCHECKED, Progress
from labkit.verifier import CheckResult, Finished, Verifier, junit

MOST_AT_ONCE = 50
KINDS = {
    "passed": Kind.OK,
    "failed": Kind.FAILED,
    "skipped": Kind.SKIPPED,
    "unreachable": Kind.UNREACHABLE,
}


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to verify, beside with what (`Request`).

    `rehearse` says which chapters are carried out on machines whose checks passed, `junit`
    and `html` take all results, `since` names the record that they are compared with.
    """

    forks: int | None = None
    retry_failed: bool = False
    rehearse: Wish | None = None
    junit: Path | None = None
    html: Path | None = None
    since: str | None = None


def verify(request: Request, options: Options, show: Show) -> list[Progress]:
    """
    Check the chosen machines side by side, and rehearse on them what is wished for.

    Returns:
        One finished Progress per chosen machine; an empty list if nothing was left to retry.

    Raises:
        BadInput: No machine was asked anything.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(run_directory())
        for file, option in ((options.junit, "--junit"), (options.html, "--html")):
            if file:
                refuse_unwritable(file, option)
        known = read_class(request, scratch)
        machines = choose(known, retry_failed=options.retry_failed)
        if not machines:
            return []
        plan = make_plan(options.rehearse, machines) if options.rehearse else None
        past = read_past(known.directory, options.since) if options.since else None
        stack.enter_context(hold(known.directory, "verify"))
        verb = "rehearse" if plan else "verify"
        record = stack.enter_context(Record(known.directory, verb))
        run = Run(machines, known.directory / "known_hosts", record, show)
        results, interrupted = _try_all(run, known, plan, scratch, options)
        changes = _compare(run, past) if past else {}
        if options.junit:
            junit(results, options.junit)
        verdicts = run.close(interrupted=interrupted)
        if options.html:
            told = Told(run.events, plan.titles if plan else {})
            page = report_page(request.inventory, told, verdicts, changes)
            options.html.write_text(page, encoding="utf-8")
        return verdicts


def _try_all(
    run: Run, known: Class, plan: Plan | None, scratch: Path, options: Options
) -> tuple[list[CheckResult], bool]:
    """Check, and rehearse if there is a plan; return all results, and whether it was stopped."""
    stop, forks = Stop(), options.forks or MOST_AT_ONCE
    with ExitStack() as stack:
        stack.enter_context(interruptible(stop))
        checks = stack.enter_context(Checks(run, known, scratch, forks))
        rehearsal = None
        if plan:
            passwords = checks.handed_out(run.machines.values())
            held = stack.enter_context(leash(lambda: stop.asked))
            means = Means(scratch, passwords, forks, plan.force, held)
            audience = Audience(checks.tell, run.begin, run.done)
            rehearsal = Rehearsal(plan, run.machines.values(), means, audience)
            checks.then = stack.enter_context(rehearsal).checked
        for machine in run.machines.values():
            checks.submit(machine)
        run.follow(lambda: (checks.busy and not stop.asked) or bool(rehearsal and rehearsal.busy))
        if not stop.asked:
            checks.tell_unproven()
        return checks.results, stop.asked


def _compare(run: Run, past: Past) -> Changes:
    """Return what is better and worse than before, and have it noted in the verdicts."""
    changes = compare(past, run.events, run.verdicts)
    for machine, note in notes(past, changes):
        run.put(Event(Kind.NOTE, machine, "compared", notes=(note,)))
    run.follow(lambda: False)
    return changes


class Checks:
    """
    The checks of one run: machines go in, and the run is told what came of each.

    When its own checks are over, a machine is proven together with the others of its seat.
    """

    def __init__(self, run: Run, known: Class, scratch: Path, forks: int) -> None:
        self.results: list[CheckResult] = []
        # What is done with a machine whose checks are over; they may all have passed.
        self.then: Callable[[str, bool], None] = lambda machine, _: run.done(machine)
        self._run, self._directory = run, known.directory
        self._seats = known.seats()
        self._inputs = {one.name: one.inputs for one in known.machines}
        self._lock = locked_digests(known.directory)
        self._passwords = read_passwords(known.directory / "logins.csv")
        self._trials: dict[str, list[CheckResult]] = {}
        self._ended: dict[str, Finished] = {}
        ears = Ears(run.begin, self._take, self._on_trial, self._drifted, self._release)
        self._proofs = Seats(run.machines.values(), self._seats, ears, scratch, forks)
        self._verifier = Verifier(scratch, forks, self._tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._proofs.stop()
        self._verifier.stop()

    @property
    def busy(self) -> bool:
        """Whether a machine is still being checked."""
        return self._verifier.busy or self._proofs.busy

    @property
    def trying(self) -> bool:
        """Whether a machine is on trial."""
        return bool(self._trials)

    def submit(self, machine: Machine) -> None:
        """Have a machine checked from now on."""
        self._verifier.submit(self._describe(machine))

    def try_first(self, machine: Machine) -> None:
        """
        Have a machine checked on trial: one on which a promise is not kept gets no verdict.

        The run is told of it by one event, DRIFTED, which names the promises.
        """
        self._trials[machine.name] = []
        self._run.begin(machine.name, CHECKS, "see whether all is as it was left")
        self.submit(machine)

    def handed_out(self, machines: Iterable[Machine]) -> dict[str, str]:
        """Return seat → password, where labkit made one for the attendee."""
        made = {one.seat for one in machines if needs_password(one.inputs)}
        return {seat: word for seat, word in self._passwords.items() if seat in made}

    def _describe(self, machine: Machine) -> dict[str, Any]:
        password = self.handed_out([machine]).get(machine.seat)
        return {
            **asdict(machine),
            "inputs": {
                **machine.inputs,
                "docker_engine_locked_versions": locked_engine(self._directory),
                "images_lock": self._lock,
            },
            "seat_machines": [
                {
                    **mate,
                    "hostname": self._inputs[mate["name"]].get("base_hostname"),
                    "labels": self._inputs[mate["name"]].get("swarm_node_labels"),
                }
                for mate in self._seats[machine.seat]
            ],
            "authority": read_authority(machine.inputs),
            "login": {"user": machine.inputs["attendee_name"], "password": password},
        }

    def tell(self, result: CheckResult) -> None:
        """Keep a result, and pass it on to the run."""
        self.results.append(result)
        self._run.put(read_result(result))

    def tell_unproven(self) -> None:
        """Have it noted, when all is over, with which of its mates a machine was not proven."""
        for result in self._proofs.unproven():
            self.tell(result)
        self._run.follow(lambda: False)

    def _tell(self, said: CheckResult | Finished) -> None:
        if isinstance(said, CheckResult):
            self._take(said)
            return
        machine, held = said.machine, self._trials.get(said.machine)
        its = held if held is not None else [one for one in self.results if one.machine == machine]
        if held and (broken := [one.promise for one in held if _wants_roles(one)]):
            self._drifted(machine, broken)
            return
        self._ended[machine] = said
        unmet = any(one.outcome == "unreachable" or one.check == UNCHECKED for one in its)
        self._proofs.come(machine, reachable=not unmet)

    def _take(self, result: CheckResult) -> None:
        if self._on_trial(result.machine):
            self._trials[result.machine].append(result)
        else:
            self.tell(result)

    def _on_trial(self, machine: str) -> bool:
        return machine in self._trials

    def _drifted(self, machine: str, broken: Sequence[str]) -> None:
        note = f"not as it was left: {'; '.join(broken)}"
        self._run.put(Event(Kind.NOTE, machine, DRIFTED, CHECKS, notes=(note,)))
        del self._trials[machine]

    def _release(self, machine: str) -> None:
        for one in self._trials.pop(machine, ()):
            self.tell(one)
        said = self._ended[machine]
        identity = {"identity": dict(said.identity)} if said.identity else {}
        self._run.put(Event(Kind.NOTE, machine, "checked", CHECKS, data=identity))
        its = [one for one in self.results if one.machine == machine]
        self.then(machine, all(one.outcome in {"passed", "skipped"} for one in its))


def _wants_roles(result: CheckResult) -> bool:
    return result.outcome == "failed" or AGAIN in result.detail


def read_result(result: CheckResult) -> Event:
    """Translate a result; what the instructor should know although nothing is wrong is a note."""
    kind = KINDS[result.outcome]
    reasons: tuple[Reason, ...] = ()
    tried = result.promise
    if result.part.startswith(CHAPTER):
        tried = f"{result.part}, {result.promise.replace(':', f' ({result.check}):', 1)}"
    data = {"at": result.check, "output": result.output}
    if kind is Kind.FAILED:
        reasons = (Reason(tried, result.answer, result.todo),)
    elif kind is Kind.UNREACHABLE:
        reasons = (Reason("Check the machine", result.seen, ""),)
    noted = kind is not Kind.FAILED and result.detail.startswith(NOTE)
    said = (result.detail.removeprefix(NOTE),) if noted else ()
    if kind is Kind.SKIPPED:
        data["why"] = result.detail.removeprefix(NOTE)
    return Event(
        kind, result.machine, result.promise, result.part, result.seconds, reasons, said, data
    )
