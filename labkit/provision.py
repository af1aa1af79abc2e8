"""The verb `provision`: make the machines of a class into workshop machines, then check each."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from labkit.applied import Fingerprints
from labkit.arguments import dry_arguments, playbook_arguments
from labkit.classroom import Class, Machine, Request, read_class
from labkit.display import Show
from labkit.events import Event, Kind
from labkit.hold import hold
from labkit.lock import locked_digests
from labkit.logins import ensure_logins, needs_password, password_hash, read_passwords
from labkit.paths import content, role_names
from labkit.record import Record, locked_engine
from labkit.refusals import refuse_unknown_tags
from labkit.run import Run, choose, interruptible
from labkit.runner import Play, Stop, run_playbook
from labkit.scratch import run_directory, secret_file
from labkit.takenin import TakenIn
from labkit.verdicts import DRIFTED, PROVISIONED, Progress, State
from labkit.verify import Checks

# More forks than this cost the controller more than they gain (ANSIBLE_FORKS beats it).
MOST_FORKS = 50
# Machines on which something drifted share a playbook run if they are found within this time.
GATHER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to provision, beside with what (`Request`)."""

    tags: str | None = None
    check: bool = False
    diff: bool = False
    forks: int | None = None
    retry_failed: bool = False
    verify: bool = True
    full: bool = False

    @property
    def looks_first(self) -> bool:
        """Whether a machine on which every promise is kept is left alone."""
        return self.whole and self.verify and not self.full

    @property
    def whole(self) -> bool:
        """Whether every role runs for real where any does."""
        return not self.check and self.tags is None


def provision(request: Request, options: Options, show: Show) -> list[Progress]:
    """
    Bring the chosen machines to where every check passes.

    A machine to which the same was applied before is checked first, and has its roles run only
    if a promise is not kept; any other has its roles run, and then is checked. No machine waits
    for another.

    Returns:
        One finished Progress per chosen machine; an empty list if nothing was left to retry.

    Raises:
        BadInput: Nothing was touched.
        LabkitError: Ansible could not start.
    """
    with ExitStack() as stack:
        scratch = stack.enter_context(run_directory())
        refuse_unknown_tags(options.tags, role_names())
        known = read_class(request, scratch)
        machines = choose(known, retry_failed=options.retry_failed)
        if not machines:
            return []
        stack.enter_context(hold(known.directory, "provision"))
        passwords = _passwords(known, dry=options.check)
        handed = secret_file(scratch, "handed.json", json.dumps(handed_over(known, passwords)))
        play = Play(
            playbook=content() / "playbooks" / "provision.yml",
            inventory=request.inventory,
            machines=(),
            directory=scratch,
            environment=known.environment,
            arguments=_arguments(request, options, known.vault_password_files, scratch, handed),
            forks=options.forks or MOST_FORKS,
        )
        with Record(known.directory, "provision", dry=options.check) as record:
            run = Run(machines, known.directory / "known_hosts", record, show)
            return _drive(run, play, options, known, record)


def _drive(run: Run, play: Play, options: Options, known: Class, record: Record) -> list[Progress]:
    stop, prints = Stop(), Fingerprints(known)
    with (
        interruptible(stop),
        Checks(run, known, play.directory, play.forks) as checks,
        Roles(run, play, record, stop) as roles,
    ):
        taken_in = TakenIn(run.machines, roles.submitted)
        for machine in run.machines.values():
            looks_first = options.looks_first and prints.unchanged(machine)
            (checks.try_first if looks_first else roles.submit)(machine)
        roles.start()

        def busy() -> bool:
            roles.start(more_to_come=checks.trying)
            return roles.busy or (checks.busy and not stop.asked)

        def pass_on(event: Event) -> None:
            machine = run.machines[event.machine]
            if event.step == DRIFTED:
                roles.submit(machine)
            elif event.step == PROVISIONED and event.kind is Kind.OK and options.whole:
                record.apply(machine.name, prints.of(machine))
            for one in taken_in.after(event):
                _provisioned(run, one.name, options, checks.submit)

        try:
            run.follow(busy, pass_on)
        except BaseException:
            # Else the playbook would go on to its end, with nobody looking.
            stop.asked = True
            raise
        if not stop.asked:
            checks.tell_unproven()
            roles.result()
        return run.close(interrupted=stop.asked)


class Roles:
    """The playbook runs of one provision: machines go in, and each run takes all that wait."""

    def __init__(self, run: Run, play: Play, record: Record, stop: Stop) -> None:
        self._run, self._play, self._record, self._stop = run, play, record, stop
        self.submitted: set[str] = set()
        self._waiting: list[Machine] = []
        self._since = 0.0
        self._pool = ThreadPoolExecutor()
        self._runs: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown()

    @property
    def busy(self) -> bool:
        """Whether a playbook runs."""
        return not all(one.done() for one in self._runs)

    def submit(self, machine: Machine) -> None:
        """Have all roles run on a machine."""
        self._since = self._since if self._waiting else time.monotonic()
        self._waiting.append(machine)
        self.submitted.add(machine.name)

    def start(self, *, more_to_come: bool = False) -> None:
        """Start a playbook run of all that wait, unless others may join them in a moment."""
        late = time.monotonic() - self._since > GATHER_SECONDS
        if not self._waiting or self._stop.asked or (more_to_come and not late):
            return
        names = [one.name for one in self._waiting]
        self._waiting.clear()
        if not self._record.dry:
            self._record.begin(names)
        folder = self._play.directory / f"run-{len(self._runs)}"
        folder.mkdir()
        play = replace(
            self._play,
            machines=names,
            directory=folder,
            forks=min(self._play.forks, len(names)),
        )
        self._runs.append(self._pool.submit(run_playbook, play, self._run.put, self._stop))

    def result(self) -> None:
        """Raise what a playbook run could not tell by any event."""
        for one in self._runs:
            one.result()


def _provisioned(
    run: Run, machine: str, options: Options, submit: Callable[[Machine], None]
) -> None:
    if options.check:
        run.end(machine, State.DRY_RUN)
    elif not options.verify:
        run.end(machine, State.PROVISIONED)
    else:
        submit(run.machines[machine])


def _passwords(known: Class, *, dry: bool) -> dict[str, str]:
    file = known.directory / "logins.csv"
    return read_passwords(file) if dry else ensure_logins(file, known.machines)


def handed_over(known: Class, passwords: dict[str, str]) -> dict[str, object]:
    """Return the variables that the playbook gets beside those of the inventory."""
    url = known.depot.url if known.depot else ""
    # An address of IPv6 takes brackets. What the inventory says of a depot elsewhere comes first.
    ours = all(one.inputs.get("preflight_depot") == url for one in known.machines)
    return {
        **({"preflight_depot": url} if ours else {}),
        **known.extra_vars,
        "preflight_seats": known.seats(),
        "attendee_password_hashes": {
            one.seat: password_hash(passwords.get(one.seat, ""), one.seat)
            for one in known.machines
            if needs_password(one.inputs)
        },
        "docker_engine_locked_versions": locked_engine(known.directory),
        "images_lock": locked_digests(known.directory),
    }


def _arguments(
    request: Request,
    options: Options,
    vaults: Sequence[str],
    scratch: Path,
    handed: Path,
) -> Sequence[str]:
    told = playbook_arguments(request, vaults, scratch, handed)
    tags = ["--tags", options.tags] if options.tags else []
    return [*told, *tags, *dry_arguments(check=options.check, diff=options.diff)]
