"""The command line: what an instructor types, and the only place that makes exit codes."""

import atexit
import codecs
import errno
import io
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from labkit import __version__
from labkit.errors import BadInput, ControllerError, LabkitError

if TYPE_CHECKING:
    from labkit.classroom import Request
    from labkit.display import Freight, Show, Steps
    from labkit.plan.outcome import Plan
    from labkit.verdicts import Progress

# A disk, or somebody's share of it.
FULL = (errno.ENOSPC, errno.EDQUOT)
OK, NOT_READY, BAD_INPUT, CANNOT, BUG, INTERRUPTED = 0, 1, 2, 3, 70, 130
STDERR = 2
PLAIN_SIGNS = {"→": "->", "·": "-", "✓": "+", "✗": "x", "▸": ">", "…": "..."}
HUB_TOKEN = "LABKIT_HUB_TOKEN"  # noqa: S105 - its name
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Run the command line; whatever goes wrong is told in two lines and an exit code."""
    _ready_the_streams()
    try:
        code = labkit.main(standalone_mode=False) or OK
        sys.stdout.flush()
        _leave(code)
    except click.exceptions.Exit as done:
        _leave(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        _leave(BAD_INPUT)
    except click.UsageError as error:
        known = error.ctx.command_path if error.ctx else "labkit"
        message = " ".join(error.format_message().split())
        _tell(BadInput(message, f"{known} --help shows how it is used"))
        _leave(BAD_INPUT)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        _leave(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has read enough; Python must not complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(NOT_READY)
    except LabkitError as error:
        _tell(error)
        _leave(_code(error))
    except Exception as error:  # noqa: BLE001 - what nobody foresaw becomes a log, not a traceback
        if isinstance(error, OSError) and error.errno in FULL:
            _tell(LabkitError(str(error), "make room on this controller, then run again"))
            _leave(CANNOT)
        _tell(LabkitError(f"this is a bug in labkit; the log is {_log()}", "attach it to an issue"))
        _leave(BUG)


def _leave(code: int) -> NoReturn:
    """
    End with this code, also when a signal comes now: all is said, and nothing is left to stop.

    While threads are awaited, it ends at once; while Python takes itself down, it is too late for
    a handler, and the default one would put the signal in the code's place.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(code))
        atexit.register(signal.signal, number, signal.SIG_IGN)
    sys.exit(code)


def _ready_the_streams() -> None:
    """Make every stream one that can be written to, whatever labkit was started with."""
    if None in {sys.stdin, sys.stdout, sys.stderr}:
        # The next file to be opened would else become what a child takes for its output.
        while os.open(os.devnull, os.O_RDWR) <= STDERR:
            pass
        sys.stdin, sys.stdout, sys.stderr = (
            stream or Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for as long as we live
            for stream, mode in ((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))
        )
    codecs.register_error("labkit", _spell)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="labkit")


def _spell(error: UnicodeError) -> tuple[str, int]:
    """Write what the terminal's encoding lacks in the letters that it has."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN_SIGNS.get(one, "?") for one in lacking), error.end


def _tell(error: LabkitError) -> None:
    click.echo(f"labkit: {error.message}", err=True)
    if error.hint:
        click.echo(f"  → {error.hint}", err=True)


def _code(error: LabkitError) -> int:
    if isinstance(error, BadInput):
        return BAD_INPUT
    return CANNOT if isinstance(error, ControllerError) else NOT_READY


def _log() -> str:
    descriptor, path = tempfile.mkstemp(prefix="labkit-bug-", suffix=".log")
    with os.fdopen(descriptor, "w", encoding="utf-8") as log:
        log.write(f"labkit {__version__}, Python {sys.version}\n\n{traceback.format_exc()}")
    return path


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's signature
    if wanted:
        from labkit.controller import ansible_version

        click.echo(f"labkit {__version__} (ansible-core {ansible_version() or 'is missing'})")
        context.exit()


@click.group(context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Show labkit's version and ansible-core's.",
)
def labkit() -> None:
    """Make a class of bare Linux machines into Docker workshop machines, and prove it."""


def about_the_class(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which class is meant, and how to get in; they are Ansible's own."""
    for option in reversed(CLASS_OPTIONS):
        command = option(command)
    return command


def _offer_roles(_context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    from labkit.paths import role_names

    return _offer(typed, role_names())


def _offer_machines(context: click.Context, _option: click.Parameter, typed: str) -> list[str]:
    """Offer the machines and seats that an earlier run met: to ask Ansible would take seconds."""
    from labkit.record import latest_verdicts

    inventory = context.params.get("inventory")
    if inventory is None:
        return []
    try:
        known = latest_verdicts(inventory if inventory.is_dir() else inventory.parent)
    except (LabkitError, OSError):
        return []
    return _offer(typed, {*known, *(one["seat"] for one in known.values())})


def _offer(typed: str, names: Iterable[str]) -> list[str]:
    before, comma, begun = typed.rpartition(",")
    return [f"{before}{comma}{name}" for name in sorted(names) if name.startswith(begun)]


FILE = click.Path(path_type=Path)
EXISTING = click.Path(path_type=Path, exists=True, dir_okay=False)
LIMIT = click.option(
    "-l",
    "--limit",
    metavar="PATTERN",
    shell_complete=_offer_machines,
    help="Only these machines, seats or groups.",
)
FORKS = click.option(
    "-f",
    "--forks",
    type=click.IntRange(min=1),
    help="Machines worked on at once [default: all, at most 50].",
)
VERBOSE = click.option(
    "-v", "--verbose", count=True, help="Show every step, and the slowest at the end."
)
RETRY_FAILED = click.option(
    "--retry-failed", is_flag=True, help="Only machines that the latest run left not ready."
)
CLASS_OPTIONS = (
    click.option("-i", "--inventory", type=FILE, required=True, help="The class's inventory."),
    LIMIT,
    click.option("-e", "--extra-vars", multiple=True, metavar="VARS", help="Variables, or @file."),
    FORKS,
    click.option("-u", "--user", metavar="NAME", help="Log in as this user."),
    click.option("--private-key", "--key-file", type=EXISTING, help="Log in with this key."),
    click.option("-k", "--ask-pass", is_flag=True, help="Ask for the login password."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the sudo password."),
    click.option(
        "--vault-password-file",
        "--vault-pass-file",
        multiple=True,
        type=EXISTING,
        help="A file that holds a vault's password.",
    ),
    click.option(
        "-J",
        "--ask-vault-pass",
        "--ask-vault-password",
        is_flag=True,
        help="Ask for the vault's password.",
    ),
    RETRY_FAILED,
    click.option("--plain", is_flag=True, help="One line per event, also on a terminal."),
    click.option("--json", "as_json", is_flag=True, help="One JSON object per line."),
    VERBOSE,
)


@labkit.command()
@about_the_class
@click.option(
    "-t",
    "--tags",
    metavar="TAGS",
    shell_complete=_offer_roles,
    help="Only these roles, as preflight,images.",
)
@click.option("-C", "--check", is_flag=True, help="Only say what would change.")
@click.option("-D", "--diff", is_flag=True, help="Show how files change.")
@click.option("--full", is_flag=True, help="Run all roles, also where every promise is kept.")
@click.option("--no-verify", is_flag=True, help="Skip the checks; no machine is called ready then.")
def provision(**given: Any) -> int:
    """
    Turn bare machines into workshop machines, and check every one.

    Machines that went through all roles before, with the same inputs, are checked first: roles run
    only where a promise is not kept.
    """
    _require_ansible()
    from labkit.provision import Options
    from labkit.provision import provision as run

    options = Options(
        tags=given["tags"],
        check=given["check"],
        diff=given["diff"],
        forks=given["forks"],
        retry_failed=given["retry_failed"],
        verify=not given["no_verify"],
        full=given["full"],
    )
    with _show(given, "provision") as show:
        return _finish(run(_request(given), options, show), given, "provision")


@labkit.command()
@about_the_class
@click.option(
    "--rehearse",
    is_flag=False,
    flag_value="all",
    metavar="[=CHAPTERS]",
    help="Carry out the guide's chapters, all or those named, as 3,4-6.",
)
@click.option("--guide", type=FILE, metavar="DIR", help="Rehearse this guide instead of labkit's.")
@click.option("--force", is_flag=True, help="Rehearse also where somebody works.")
@click.option("--junit", type=FILE, help="Write the results as JUnit XML into this file.")
@click.option("--html", type=FILE, help="Write the results as a page for a browser.")
@click.option("--since", metavar="RECORD", help="Mark what changed since a run, or since last.")
def verify(**given: Any) -> int:
    """Check every machine, and say for each whether it is ready."""
    _require_ansible()
    from labkit.rehearsal.plan import Wish
    from labkit.verify import Options
    from labkit.verify import verify as run

    chapters = given["rehearse"]
    if chapters is None and (given["guide"] or given["force"]):
        raise BadInput("--guide and --force are for a rehearsal", "add --rehearse")
    options = Options(
        forks=given["forks"],
        retry_failed=given["retry_failed"],
        rehearse=Wish(chapters, given["guide"], given["force"]) if chapters is not None else None,
        junit=given["junit"],
        html=given["html"],
        since=given["since"],
    )
    with _show(given, "verify", "verify" if chapters is None else "rehearse") as show:
        return _finish(run(_request(given), options, show), given, "verify")


@labkit.command()
@about_the_class
def plan(**given: Any) -> int:
    """
    Say what the class will download, and whether that can work, before anything starts.

    For each machine its images, their bytes and its disk; for the class what the internet's line
    carries and Docker Hub counts, with and without a depot. Changes nothing on any machine.
    """
    _require_ansible()
    from labkit.plan.plan import make_plan

    found = make_plan(_request(given), forks=given["forks"], retry_failed=given["retry_failed"])
    if found is None:
        click.echo("nothing to retry: the latest run left every machine ready", err=True)
        return OK
    _show_plan(found, as_json=given["as_json"])
    return OK if found.works else NOT_READY


@labkit.command()
@click.option("--guide", type=FILE, metavar="DIR", help="Another guide than labkit's own.")
@click.option("--html", type=FILE, metavar="DIR", help="Write it into this folder, for a browser.")
def guide(guide: Path | None, html: Path | None) -> int:
    """List the chapters of the workshop, or write them for a browser."""
    from labkit.guide.reader import read_guide
    from labkit.guide.site import write_site
    from labkit.paths import content

    found = read_guide(guide or content() / "guide")
    if html:
        write_site(found, html)
        click.echo(f"{html / 'index.html'}: {len(found.chapters)} chapters")
        return OK
    for one in found.chapters:
        minutes = f"{one.minutes:>3} min" if one.minutes else " " * 7
        click.echo(f"{one.number:>3}  {minutes}  {one.title}")
    return OK


@labkit.group()
def depot() -> None:
    """Have a class download images, packages and modules once: from a machine of its own."""


def about_the_depot(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say whose depot is meant, which is one machine."""
    return _about(command, {LIMIT, RETRY_FAILED})


def about_the_stock(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say whose depot is meant, for what is no run of Ansible's."""
    return _about(command, {LIMIT, RETRY_FAILED, FORKS, VERBOSE})


def _about(command: Callable[..., Any], without: Collection[Any]) -> Callable[..., Any]:
    for option in reversed(CLASS_OPTIONS):
        command = command if option in without else option(command)
    return command


@depot.command("up")
@about_the_depot
@click.option("-C", "--check", is_flag=True, help="Only say what would change.")
@click.option("-D", "--diff", is_flag=True, help="Show how files change.")
def depot_up(**given: Any) -> int:
    """
    Make the machine of the inventory's group [depot] the class's depot.

    Installs its services, starts them, and proves that each answers. It needs no Docker engine.
    """
    _require_ansible()
    from labkit.depot.service import Options, up

    with _show(given, "depot up", "depot-up") as show:
        options = Options(given["check"], given["diff"], given["forks"])
        return _told(up(_request(given), options, show), f"labkit depot up -i {given['inventory']}")


@depot.command("status")
@about_the_depot
def depot_status(**given: Any) -> int:
    """Tell what the depot holds, what this class lacks there, and what it served."""
    _require_ansible()
    from labkit.depot.lines import lines
    from labkit.depot.status import status as look

    found = look(_request(given))
    click.echo(json.dumps(asdict(found)) if given["as_json"] else "\n".join(lines(found)))
    return NOT_READY if found.missing or not found.serves else OK


@depot.command("down")
@about_the_depot
@click.option("-C", "--check", is_flag=True, help="Only say what would change.")
@click.option("-D", "--diff", is_flag=True, help="Show how files change.")
def depot_down(**given: Any) -> int:
    """Take the depot away with all that it holds, and everything that points to it."""
    _require_ansible()
    from labkit.depot.service import Options, down

    options = Options(given["check"], given["diff"], given["forks"])
    verdicts = down(_request(given), options, lambda verb: _show(given, verb))
    return _told(verdicts, f"labkit depot down -i {given['inventory']}")


@depot.command()
@about_the_stock
@click.option("--update", is_flag=True, help="Take what the tags name today, despite the lock.")
@click.option("--verify", is_flag=True, help="Read all that is there, and mend what was altered.")
@click.option("--from", "bundled", type=EXISTING, metavar="FILE", help="Take it from a bundle.")
@click.option("--hub-user", metavar="NAME", help="Log in at Docker Hub; asks for the password.")
@click.option("--hub-token-file", type=EXISTING, help="A file of mode 0600 that holds it.")
def seed(**given: Any) -> int:
    """
    Fill the depot with the class's images, and write images.lock.yml beside the inventory.

    What is there is not fetched again, and an image stays what the lock says. Docker Hub's password
    or token may stand in LABKIT_HUB_TOKEN; it goes to the depot for this one run, and no machine
    of the class learns it.
    """
    if given["bundled"] and (given["update"] or given["verify"] or given["hub_user"]):
        raise BadInput("--from asks no registry", "leave --update, --verify and --hub-user out")
    account = _account(given)
    _require_ansible()
    from labkit.depot.seed import Options, seed_from
    from labkit.depot.seed import seed as run

    again = f"labkit depot seed -i {given['inventory']}"
    with _freight(given, again) as show:
        request = _request(given)
        if given["bundled"]:
            lock = seed_from(request, given["bundled"], show)
        else:
            lock = run(request, Options(given["update"], given["verify"], account), show)
    distinct = f"{len(lock)} images are in the depot; images.lock.yml says which"
    _close(given, distinct, {"type": "seeded", "images": {k: asdict(v) for k, v in lock.items()}})
    return OK


@depot.command()
@about_the_stock
@click.argument("file", type=FILE)
def bundle(**given: Any) -> int:
    """Write all that the depot holds into FILE: images, packages and modules that passed it."""
    _require_ansible()
    from labkit.depot.bundle import bundle as run

    again = f"labkit depot bundle -i {given['inventory']} {given['file']}"
    with _freight(given, again) as show:
        size = run(_request(given), given["file"], show)
    said = f"{given['file']}: {size / 1_000_000:.0f} MB; labkit depot seed --from brings it in"
    _close(given, said, {"type": "bundled", "file": str(given["file"]), "bytes": size})
    return OK


def _account(given: dict[str, Any]) -> tuple[str, str] | None:
    """Return Docker Hub's name and password; the latter never comes as an argument."""
    name, file = given["hub_user"], given["hub_token_file"]
    # Nothing that is started from here on is to inherit it.
    token = os.environ.pop(HUB_TOKEN, None)
    if name is None:
        # A bundle comes from no registry: what else a shell has set there is in nobody's way.
        if file or (token and not given["bundled"]):
            what = "--hub-token-file" if file else HUB_TOKEN
            raise BadInput(f"{what} needs a name", "add --hub-user NAME")
        return None
    if file:
        if file.stat().st_mode & 0o077:
            raise BadInput(f"others can read {file}", f"chmod 600 {file}")
        return name, file.read_text(encoding="utf-8").strip()
    return name, token or getpass(f"Docker Hub password of {name}: ")


@contextmanager
def _freight(given: dict[str, Any], again: str) -> "Iterator[Freight]":
    from rich.console import Console

    from labkit.display import Freight, JsonFreight

    plain = given["plain"] or os.environ.get("TERM") == "dumb"
    console = Console(stderr=True, emoji=False, force_terminal=False if plain else None)
    try:
        with (JsonFreight if given["as_json"] else Freight)(console) as show:
            yield show
    except KeyboardInterrupt:
        click.echo(f"interrupted; to go on where it stopped: {again}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def _close(given: dict[str, Any], line: str, found: dict[str, Any]) -> None:
    click.echo(json.dumps(found) if given["as_json"] else line)


@labkit.group()
def sandbox() -> None:
    """Make a disposable class on this machine, to try labkit with."""


DIRECTORY = click.argument("directory", type=FILE, default="sandbox")


@sandbox.command()
@DIRECTORY
@click.option("--seats", type=int, default=1, show_default=True, help="How many attendees.")
@click.option(
    "--machines-per-seat", type=int, default=3, show_default=True, help="Machines for each."
)
@click.option(
    "--release",
    type=click.Choice(["trixie", "bookworm"]),
    help="Debian 13 or 12.  [default: trixie]",
)
@click.option(
    "--backend",
    type=click.Choice(["docker", "qemu"]),
    help="Containers that play machine, or virtual machines with kernels of their own.  "
    "[default: docker]",
)
@click.option("--depot", is_flag=True, help="One machine more, to become the class's depot.")
def up(**given: Any) -> int:
    """
    Make the machines, and an ordinary class folder DIRECTORY for them [default: sandbox].

    With --backend qemu they are virtual machines: for a swarm's routing mesh, and all else that
    containers cannot show. They need no root, nor a Docker engine where the hardware runs them
    (KVM). Elsewhere they are emulated, slowly, with the images of the swarm chapter alone. What is
    built and saved the first time makes the next one quick.
    """
    from labkit import sandbox as box

    began = time.monotonic()
    with _steps() as steps:
        box.up(
            given["directory"],
            seats=given["seats"],
            machines_per_seat=given["machines_per_seat"],
            release=given["release"],
            backend=given["backend"],
            depot=given["depot"],
            tell=steps.tell,
        )
    machines = given["seats"] * given["machines_per_seat"]
    click.echo(f"{machines} machines are up after {time.monotonic() - began:.0f} s. Next:")
    inventory = f"{given['directory']}/class.ini"
    if given["depot"]:
        click.echo(f"  labkit depot up -i {inventory} && labkit depot seed -i {inventory}")
    click.echo(f"  labkit provision -i {inventory}")
    return OK


@sandbox.command()
@DIRECTORY
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(directory: Path, *, as_json: bool) -> int:
    """Tell what there is of the sandbox in DIRECTORY."""
    from labkit import sandbox as box

    found = box.status(directory)
    if as_json:
        click.echo(json.dumps(asdict(found)))
        return OK
    for one in found.machines:
        ports = "".join(f"  {port}->{there}" for port, there in one.ports.items())
        click.echo(f"{one.name}  {one.address}  {one.state}  {one.system}{ports}")
    if any(one.ports for one in found.machines):
        click.echo("PORT->PORT: where on 127.0.0.1 a machine's port is found")
    click.echo("" if found.machines else f"no sandbox in {directory}", nl=not found.machines)
    if found.registry:
        click.echo(f"registry at {found.registry}{', with stand-ins' if found.stand_ins else ''}")
    return OK


@sandbox.command()
@DIRECTORY
def down(directory: Path) -> int:
    """Take the sandbox in DIRECTORY away, with all that is on its machines."""
    from labkit import sandbox as box

    with _steps() as steps:
        box.down(directory, tell=steps.tell)
    return OK


def _require_ansible() -> None:
    # Before anything is imported that would fail without it, in Python's words.
    from labkit.controller import require_ansible

    require_ansible()


def _steps() -> "Steps":
    from rich.console import Console

    from labkit.display import Steps

    return Steps(Console(stderr=True, emoji=False))


def _request(given: dict[str, Any]) -> "Request":
    from labkit.classroom import Request

    login = getpass("SSH password: ") if given["ask_pass"] else None
    become = None
    if given["ask_become_pass"]:
        default = " [the SSH password]" if login else ""
        become = getpass(f"sudo password{default}: ") or login
    key = given["private_key"]
    return Request(
        inventory=given["inventory"].absolute(),
        limit=given.get("limit"),
        extra_vars=given["extra_vars"],
        user=given["user"],
        private_key=str(key.absolute()) if key else None,
        vault_password_files=tuple(str(file.absolute()) for file in given["vault_password_file"]),
        vault_password=getpass("Vault password: ") if given["ask_vault_pass"] else None,
        connection_password=login,
        become_password=become,
    )


def _show(given: dict[str, Any], verb: str, recorded_as: str | None = None) -> "Show":
    from rich.console import Console

    from labkit.board import LiveBoard
    from labkit.display import Json, Plain
    from labkit.record import usual_seconds

    if given["as_json"]:
        return Json()
    if (
        given["plain"]
        or given["verbose"]
        or not sys.stdout.isatty()
        or os.environ.get("TERM") == "dumb"
    ):
        return Plain(Console(highlight=False, emoji=False, soft_wrap=True), given["verbose"])
    inventory = given["inventory"]
    directory = inventory if inventory.is_dir() else inventory.parent
    title = f"labkit {verb} {inventory}"
    usual = usual_seconds(directory, recorded_as or verb)
    return LiveBoard(Console(highlight=False, emoji=False), title, usual)


def _show_plan(found: "Plan", *, as_json: bool) -> None:
    from rich.console import Console

    from labkit.display import Sheet, print_objects
    from labkit.events import Reason
    from labkit.plan import page

    if as_json:
        print_objects(page.objects(found))
        return
    console = Console(highlight=False, emoji=False, soft_wrap=not sys.stdout.isatty())
    sheet = Sheet(console)
    sheet.table(page.HEAD, page.rows(found))
    for line in page.lines(found):
        sheet.line(line)
    for one in found.warnings:
        sheet.warn(Reason(one.about, one.what, one.todo), stops=one.stops)


def _told(verdicts: "list[Progress]", again: str) -> int:
    from labkit.verdicts import GOOD, State

    states = {one.state for one in verdicts}
    if State.INTERRUPTED in states:
        click.echo(f"interrupted; to go on where it stopped: {again}", err=True)
        return INTERRUPTED
    if states <= GOOD:
        return OK
    click.echo(f"to try only the others again: {again}", err=True)
    return NOT_READY


def _finish(verdicts: "list[Progress]", given: dict[str, Any], verb: str) -> int:
    again = f"labkit {verb} -i {given['inventory']} --retry-failed"
    if given.get("rehearse"):
        again += f" --rehearse={given['rehearse']}"
    if not verdicts:
        click.echo("nothing to retry: the latest run left every machine ready", err=True)
        return OK
    return _told(verdicts, again)
