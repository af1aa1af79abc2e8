"""The verbs `depot up` and `depot down`: a machine becomes the class's depot, or is one no more."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.arguments import dry_arguments, playbook_arguments
from labkit.classroom import Class, Request, read_class
from labkit.depot.orders import holding, require_depot
from labkit.display import Show
from labkit.events import Event, Kind
from labkit.hold import hold
from labkit.paths import content
from labkit.plan.question import ask_all
from labkit.post import Lost
from labkit.provision import Options as Provision
from labkit.provision import provision
from labkit.record import Record, latest_verdicts
from labkit.run import Run, interruptible
from labkit.runner import Play, Stop, run_playbook
from labkit.scratch import run_directory, secret_file
from labkit.verdicts import PROVISIONED, Progress, State

# The roles that point a machine to the depot; without one, they take back what they did.
POINTERS = "preflight,base,docker_engine,sample_apps"
# To forget it, a machine needs no way out: the room may have none.
NO_DEPOT = {"preflight_depot": "", "preflight_route_seconds": 0}


@dataclass(frozen=True, slots=True)
class Options:
    """How to make a depot, beside of which class (`Request`)."""

    check: bool = False
    diff: bool = False
    forks: int | None = None


def up(request: Request, options: Options, show: Show) -> list[Progress]:
    """
    Make the class's depot one, and prove each of its services.

    Returns:
        The depot's finished Progress, alone.

    Raises:
        BadInput: The class has no depot; nothing was touched.
        LabkitError: Ansible could not start.
    """
    return _play(request, options, show, "present")


def down(request: Request, options: Options, show: Callable[[str], Show]) -> list[Progress]:
    """
    Have the class's machines forget the depot, then take it away with all that it holds.

    `show` makes a show for each of the two. A machine that is out of reach keeps pointing to
    where no depot is, and goes on directly; its verdict says so.

    Returns:
        The finished Progress of each machine that knew of the depot, and the depot's last.

    Raises:
        LabkitError: The depot is being filled; nothing was touched.
    """
    with run_directory() as scratch, ExitStack() as stack:
        known = read_class(replace(request, limit=None), scratch)
        depot = require_depot(known)
        if not options.check:
            # Else a seed that runs would make the store anew.
            stack.enter_context(holding(depot, scratch))
        forgetting = _forget(request, pointed_to(known, options, scratch), options, show)
        if any(one.state is State.INTERRUPTED for one in forgetting):
            return forgetting
        with show("depot down") as shown:
            return [*forgetting, *_play(request, options, shown, "absent")]


def pointed_to(known: Class, options: Options, scratch: Path) -> list[str]:
    """
    Return the machines that a depot was made known to, by their own word.

    Of those that say nothing, which labkit met before: their verdict is to say that they are out
    of reach. On any other the roles would not take something back, but begin.
    """
    answers = ask_all(known.machines, {}, scratch, options.forks)
    met = latest_verdicts(known.directory)
    return [
        name
        for name, said in answers.items()
        if (name in met if isinstance(said, Lost) else said["has_depot"])
    ]


def _forget(
    request: Request, names: Sequence[str], options: Options, show: Callable[[str], Show]
) -> list[Progress]:
    """Run the roles that know of a depot, as if there were none."""
    if not names:
        return []
    none = json.dumps(NO_DEPOT)
    without = replace(request, limit=",".join(names), extra_vars=(*request.extra_vars, none))
    how = Provision(
        tags=POINTERS,
        check=options.check,
        diff=options.diff,
        forks=options.forks,
        verify=False,
    )
    with show("forget the depot of") as shown:
        return provision(without, how, shown)


def _play(request: Request, options: Options, show: Show, state: str) -> list[Progress]:
    verb = "depot-up" if state == "present" else "depot-down"
    with ExitStack() as stack:
        scratch = stack.enter_context(run_directory())
        known = read_class(replace(request, limit=None), scratch)
        depot = require_depot(known).machine
        stack.enter_context(hold(known.directory, verb.replace("-", " ")))
        handed = secret_file(
            scratch, "handed.json", json.dumps({**known.extra_vars, "depot_state": state})
        )
        play = Play(
            playbook=content() / "playbooks" / "depot.yml",
            inventory=request.inventory,
            machines=[depot.name],
            directory=scratch,
            environment=known.environment,
            arguments=[
                *playbook_arguments(request, known.vault_password_files, scratch, handed),
                *dry_arguments(check=options.check, diff=options.diff),
            ],
            forks=1,
        )
        record = stack.enter_context(Record(known.directory, verb, dry=options.check))
        run = Run([depot], known.directory / "known_hosts", record, show)
        return _follow(run, play, settled(options, state))


def settled(options: Options, state: str) -> State:
    """Return the depot's verdict once its playbook came to its end."""
    if options.check:
        return State.DRY_RUN
    return State.READY if state == "present" else State.PROVISIONED


def _follow(run: Run, play: Play, settled: State) -> list[Progress]:
    def settle(event: Event) -> None:
        if event.step == PROVISIONED and event.kind is Kind.OK:
            run.end(event.machine, settled)

    stop = Stop()
    with interruptible(stop):
        with ThreadPoolExecutor(1) as pool:
            playing = pool.submit(run_playbook, play, run.put, stop)
            try:
                run.follow(lambda: not playing.done(), settle)
            except BaseException:
                # Else the playbook would go on to its end, with nobody looking.
                stop.asked = True
                raise
            if not stop.asked:
                playing.result()
        return run.close(interrupted=stop.asked)
