"""The verb `verify`: try every promise on every machine, and say which machines are ready."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from labkit.classroom import Class, Machine, Request, read_class
from labkit.display import Show
from labkit.events import Event, Kind, Reason
from labkit.hold import hold
from labkit.logins import needs_password, read_passwords
from labkit.record import Record, locked_engine
from labkit.refusals import refuse_unwritable
from labkit.run import Checked, Run, choose, interruptible
from labkit.runner import Stop
from labkit.scratch import run_directory
from labkit.verdicts import CHECKS, Progress
from labkit.verifier import CheckResult, Finished, Verifier, junit

MOST_AT_ONCE = 50
# A check skipped for a reason that the instructor should hear says so in this way.
NOTE = "note: "
KINDS = {
    "passed": Kind.OK,
    "failed": Kind.FAILED,
    "skipped": Kind.SKIPPED,
    "unreachable": Kind.UNREACHABLE,
}


def verify(
    request: Request,
    show: Show,
    *,
    forks: int | None = None,
    retry_failed: bool = False,
    junit_file: Path | None = None,
) -> list[Progress]:
    """
    Check the chosen machines side by side; `junit_file` takes all results as JUnit XML.

    Returns:
        One finished Progress per chosen machine; an empty list if nothing was left to retry.

    Raises:
        BadInput: No machine was asked anything.
    """
    with run_directory() as scratch:
        if junit_file:
            refuse_unwritable(junit_file, "--junit")
        known = read_class(request, scratch)
        machines = choose(known, retry_failed=retry_failed)
        if not machines:
            return []
        with hold(known.directory, "verify"), Record(known.directory, "verify") as record:
            run = Run(machines, known.directory / "known_hosts", record, show)
            stop = Stop()
            with (
                interruptible(stop),
                Checks(run, known, scratch, forks or MOST_AT_ONCE) as checks,
            ):
                for machine in machines:
                    checks.submit(machine)
                run.follow(lambda: checks.busy and not stop.asked)
                if junit_file:
                    junit(checks.results, junit_file)
                return run.close(interrupted=stop.asked)


class Checks:
    """The checks of one run: machines go in, and the run is told what came of each."""

    def __init__(self, run: Run, known: Class, scratch: Path, forks: int) -> None:
        self.results: list[CheckResult] = []
        self._run, self._directory = run, known.directory
        self._seats = known.seats()
        self._passwords = read_passwords(known.directory / "logins.csv")
        self._verifier = Verifier(scratch, forks, self._tell)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._verifier.stop()

    @property
    def busy(self) -> bool:
        """Whether a machine is still being checked."""
        return self._verifier.busy

    def submit(self, machine: Machine) -> None:
        """Have a machine checked from now on."""
        self._verifier.submit(self._describe(machine))

    def _describe(self, machine: Machine) -> dict[str, Any]:
        wanted = needs_password(machine.inputs)
        password = self._passwords.get(machine.seat) if wanted else None
        return {
            **asdict(machine),
            "inputs": {
                **machine.inputs,
                "docker_engine_locked_versions": locked_engine(self._directory),
            },
            "seat_machines": self._seats[machine.seat],
            "login": {"user": machine.inputs["attendee_name"], "password": password},
        }

    def _tell(self, said: CheckResult | Finished) -> None:
        if isinstance(said, Finished):
            identity = {"identity": dict(said.identity)} if said.identity else {}
            self._run.put(Event(Kind.NOTE, said.machine, "checked", CHECKS, data=identity))
            self._run.put(Checked(said.machine))
            return
        self.results.append(said)
        self._run.put(read_result(said))


def read_result(result: CheckResult) -> Event:
    """Translate a result; what the instructor should know although nothing is wrong is a note."""
    kind = KINDS[result.outcome]
    reasons: tuple[Reason, ...] = ()
    tried = result.promise
    data = {}
    if result.part != CHECKS:
        tried = f"{result.part}, {result.promise.replace(':', f' ({result.check}):', 1)}"
        data = {"at": result.check, "output": result.output}
    if kind is Kind.FAILED:
        reasons = (Reason(tried, result.answer, result.todo),)
    elif kind is Kind.UNREACHABLE:
        reasons = (Reason("Check the machine", result.seen, ""),)
    noted = kind is not Kind.FAILED and result.detail.startswith(NOTE)
    notes = (result.detail.removeprefix(NOTE),) if noted else ()
    return Event(
        kind, result.machine, result.promise, result.part, result.seconds, reasons, notes, data
    )
