"""The verb `provision`: make the machines of a class into workshop machines, then check each."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from labkit.classroom import Class, Machine, Request, read_class
from labkit.display import Show
from labkit.events import Event, Kind
from labkit.hold import hold
from labkit.logins import ensure_logins, needs_password, password_hash, read_passwords
from labkit.paths import content, role_names
from labkit.record import Record, locked_engine
from labkit.refusals import refuse_unknown_tags
from labkit.run import Run, choose, interruptible
from labkit.runner import Play, Stop, run_playbook
from labkit.scratch import run_directory, secret_file
from labkit.verdicts import PROVISIONED, Progress, State
from labkit.verify import Checks

# More forks than this cost the controller more than they gain (ANSIBLE_FORKS beats it).
MOST_FORKS = 50


@dataclass(frozen=True, slots=True)
class Options:
    """How to provision, beside with what (`Request`)."""

    tags: str | None = None
    check: bool = False
    diff: bool = False
    forks: int | None = None
    retry_failed: bool = False
    verify: bool = True


def provision(request: Request, options: Options, show: Show) -> list[Progress]:
    """
    Run all roles on the chosen machines, each machine's checks as soon as it has them behind it.

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
        handed = secret_file(scratch, "handed.json", json.dumps(_handed(known, passwords)))
        play = Play(
            playbook=content() / "playbooks" / "provision.yml",
            inventory=request.inventory,
            machines=[one.name for one in machines],
            directory=scratch,
            environment=known.environment,
            arguments=_arguments(request, options, known.vault_password_files, scratch, handed),
            forks=options.forks or min(len(machines), MOST_FORKS),
        )
        with Record(known.directory, "provision", dry=options.check) as record:
            run = Run(machines, known.directory / "known_hosts", record, show)
            return _drive(run, play, options, known)


def _drive(
    run: Run,
    play: Play,
    options: Options,
    known: Class,
) -> list[Progress]:
    stop = Stop()
    forks = options.forks or MOST_FORKS
    with (
        interruptible(stop),
        Checks(run, known, play.directory, forks) as checks,
        ThreadPoolExecutor(1) as pool,
    ):
        playing = pool.submit(run_playbook, play, run.put, stop)

        def busy() -> bool:
            return not playing.done() or (checks.busy and not stop.asked)

        def pass_on(event: Event) -> None:
            if event.step == PROVISIONED and event.kind is Kind.OK:
                _provisioned(run, event.machine, options, checks.submit)

        try:
            run.follow(busy, pass_on)
        except BaseException:
            # Else the playbook would go on to its end, with nobody looking.
            stop.asked = True
            raise
        if not stop.asked:
            playing.result()
        return run.close(interrupted=stop.asked)


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


def _handed(known: Class, passwords: dict[str, str]) -> dict[str, object]:
    return {
        **known.extra_vars,
        "preflight_seats": known.seats(),
        "attendee_password_hashes": {
            one.seat: password_hash(passwords.get(one.seat, ""), one.seat)
            for one in known.machines
            if needs_password(one.inputs)
        },
        "docker_engine_locked_versions": locked_engine(known.directory),
    }


def _arguments(
    request: Request,
    options: Options,
    vaults: Sequence[str],
    scratch: Path,
    handed: Path,
) -> Sequence[str]:
    arguments = ["-e", f"@{handed}"]
    for file in vaults:
        arguments += ["--vault-password-file", file]
    for option, secret in (
        ("connection", request.connection_password),
        ("become", request.become_password),
    ):
        if secret is not None:
            kept = secret_file(scratch, f"{option}-password", secret)
            arguments += [f"--{option}-password-file", str(kept)]
    arguments += ["--tags", options.tags] if options.tags else []
    arguments += ["--check"] if options.check else []
    return [*arguments, "--diff"] if options.diff else arguments
