"""The machines of a class, as Ansible reads them from the inventory."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit import settings
from labkit.controller import require_ssh
from labkit.errors import BadInput
from labkit.paths import content
from labkit.refusals import (
    Wrong,
    refuse_twins,
    refuse_unfit_file,
    wrong_connection,
    wrong_values,
)
from labkit.scratch import secret_file
from labkit.ssh import Connection

# What Ansible complains of is the inventory's fault, unless it names one of these.
OPTION = re.compile("--limit|--extra-vars")
SPECS = "correct it in the inventory; each role explains its inputs in meta/argument_specs.yml"


@dataclass(frozen=True, slots=True)
class Request:
    """
    Which class, and with what, as it came from the command line.

    `extra_vars` are as Ansible takes them: `name=value`, JSON, or `@file`.
    """

    inventory: Path
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()
    user: str | None = None
    private_key: str | None = None
    vault_password_files: tuple[str, ...] = ()
    vault_password: str | None = field(default=None, repr=False)
    connection_password: str | None = field(default=None, repr=False)
    become_password: str | None = field(default=None, repr=False)

    @property
    def directory(self) -> Path:
        """The folder in which all that belongs to the class lies."""
        return self.inventory if self.inventory.is_dir() else self.inventory.parent


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine; `number` is its place in its seat, from 1, `inputs` are all roles' inputs."""

    name: str
    seat: str
    number: int
    connection: Connection
    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Depot:
    """
    The class's depot; its machine has no part in the class.

    `url` is where the class's machines find it, as `http://address:port`; `local` tells that it
    is this controller, to which no ssh leads.
    """

    machine: Machine
    url: str
    local: bool


@dataclass(frozen=True, slots=True)
class Class:
    """
    All machines of one inventory, in its order, and the names that `--limit` chose.

    The depot is none of the machines.
    """

    directory: Path
    machines: tuple[Machine, ...]
    chosen: tuple[str, ...]
    extra_vars: Mapping[str, Any] = field(repr=False)
    vault_password_files: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)
    depot: Depot | None = None

    def seats(self) -> dict[str, list[dict[str, str]]]:
        """Return for each seat its machines in inventory order, as `{"name", "address"}`."""
        seats: dict[str, list[dict[str, str]]] = {}
        for machine in self.machines:
            # Not always the address that labkit itself connects to: that may be a forwarded port.
            address = machine.inputs.get("preflight_address") or machine.connection.host
            seats.setdefault(machine.seat, []).append({"name": machine.name, "address": address})
        return seats


def read_class(request: Request, run_directory: Path) -> Class:
    """
    Return the class that the inventory describes.

    Raises:
        BadInput: The inventory cannot be read, holds no machine, or the limit matches none.
    """
    refuse_unfit_file(request.inventory)
    environment = settings.environment(request.directory, run_directory)
    if request.user:
        environment["ANSIBLE_REMOTE_USER"] = request.user
    if request.private_key:
        environment["ANSIBLE_PRIVATE_KEY_FILE"] = request.private_key
    vaults = request.vault_password_files
    if request.vault_password is not None:
        vaults += (str(secret_file(run_directory, "vault-password", request.vault_password)),)
    reply = _resolve(request, environment, vaults)
    _refuse_wrong([(one["name"], [(w, SPECS) for w in one["wrong"]]) for one in reply["machines"]])
    machines = tuple(_machines(reply["machines"], request))
    if not machines:
        raise BadInput(
            f"{request.inventory} holds no machine",
            "list the class's machines in a group [machines]",
        )
    depot = _depot(reply["depot"], request)
    require_ssh((one.connection.ssh for one in machines), environment["PATH"])
    _refuse_wrong([(one.name, _wrong(one)) for one in machines])
    if depot:
        _refuse_wrong([(depot.machine.name, _wrong(depot.machine))])
    refuse_twins({one.name: one.connection for one in machines}, environment)
    return Class(
        request.directory,
        machines,
        tuple(reply["chosen"]),
        reply["extra_vars"],
        vaults,
        environment,
        depot,
    )


def _resolve(
    request: Request,
    environment: Mapping[str, str],
    vaults: tuple[str, ...],
) -> dict[str, Any]:
    question = {
        "inventory": str(request.inventory),
        "extra_vars": request.extra_vars,
        "vault_password_files": vaults,
        "limit": request.limit,
        "roles": str(content() / "roles"),
    }
    child = subprocess.run(
        [sys.executable, "-m", "labkit.resolve"],
        input=json.dumps(question),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        reply: dict[str, Any] = json.loads(child.stdout)
    except ValueError:
        lines = [line for line in child.stderr.splitlines() if line.strip()] or ["no answer"]
        raise BadInput(f"Ansible cannot read {request.inventory}: {lines[-1]}") from None
    if "error" in reply:
        message = " ".join(reply["error"].split())
        raise BadInput(
            message
            if OPTION.search(message) or str(request.inventory) in message
            else f"{request.inventory}: {message}",
            _hint(message),
        )
    return reply


def _hint(message: str) -> str:
    if "--limit" in message:
        return (
            "name machines, seats or groups of the inventory; ansible-inventory --graph lists them"
        )
    if "--extra-vars" in message:
        return "give variables as name=value, as JSON, or as @file"
    if "is an inventory" in message:
        return "list the class's machines in a file of this folder, in a group [machines]"
    if "vault" in message.lower() or "decrypt" in message.lower():
        return "give the vault's password with --ask-vault-pass or --vault-password-file"
    return "ansible-inventory --list -i with the same file shows what Ansible makes of it"


def _wrong(machine: Machine) -> list[Wrong]:
    return [*wrong_connection(machine.connection), *wrong_values(machine.inputs)]


def _refuse_wrong(found: Sequence[tuple[str, list[Wrong]]]) -> None:
    """Refuse the first thing that is wrong, naming all machines that share it."""
    for wrong in (one for _, its in found for one in its):
        sharing = [name for name, its in found if wrong in its]
        every = len(sharing) == len(found) > 1
        what, todo = wrong
        raise BadInput(f"{what} (of {'every machine' if every else ', '.join(sharing)})", todo)


def _machines(described: Iterable[Mapping[str, Any]], request: Request) -> Iterable[Machine]:
    counted: dict[str, int] = {}
    for one in described:
        if one["connection_plugin"] not in {"ssh", "smart", "ansible.builtin.ssh"}:
            raise BadInput(
                f"{one['name']} is reached by {one['connection_plugin']!r}, labkit knows ssh only",
                "leave ansible_connection out for the machines of a class",
            )
        counted[one["seat"]] = number = counted.get(one["seat"], 0) + 1
        yield Machine(one["name"], one["seat"], number, _connection(one, request), one["inputs"])


def _depot(described: Mapping[str, Any] | None, request: Request) -> Depot | None:
    if described is None:
        return None
    _refuse_wrong([(described["name"], [(wrong, SPECS) for wrong in described["wrong"]])])
    local = described["connection_plugin"] in {"local", "ansible.builtin.local"}
    address = described["inputs"]["depot_address"]
    if local and (address in {described["name"], "localhost"} or address.startswith("127.")):
        raise BadInput(
            f"the depot {described['name']} is this controller, and {address} is no address at "
            "which the class's machines find it",
            "set depot_address to its address in the class's network",
        )
    plugin = "ssh" if local else described["connection_plugin"]
    machine = next(iter(_machines([{**described, "connection_plugin": plugin}], request)))
    return Depot(machine, described["url"], local)


def _connection(described: Mapping[str, Any], request: Request) -> Connection:
    raw = described["connection"]
    return Connection(
        host=raw["host"],
        port=None if raw["port"] is None else int(raw["port"]),
        user=raw["user"],
        key=raw["key"],
        arguments=tuple(word for text in raw["arguments"] for word in _words(described, text)),
        password=raw["password"] or request.connection_password,
        become_password=raw["become_password"] or request.become_password,
        ssh=raw["ssh"],
    )


def _words(described: Mapping[str, Any], arguments: str | None) -> list[str]:
    try:
        return shlex.split(arguments or "")
    except ValueError as error:
        raise BadInput(
            f"the ssh arguments of {described['name']} have no end ({error}): {arguments}",
            "look for a quotation mark in ansible_ssh_common_args and its like",
        ) from None
