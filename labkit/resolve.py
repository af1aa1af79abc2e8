"""
Read an inventory with Ansible itself, and print what labkit needs of it.

Runs as a process of its own (`python -m labkit.resolve`), because Ansible reads its
configuration once, at import, from the environment and the working directory. A
request comes as one JSON object on standard input, the answer leaves as one on standard
output: secrets among the variables travel through pipes only. The Python API used is
documented: https://docs.ansible.com/ansible/latest/dev_guide/developing_api.html
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ansible import constants as C  # noqa: N812 - Ansible's own documentation calls it C
from ansible import context
from ansible.cli import CLI
from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.inventory.host import Host
from ansible.inventory.manager import InventoryManager, split_host_pattern
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.ajson import AnsibleJSONEncoder
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import become_loader, connection_loader, init_plugin_loader
from ansible.template import Templar
from ansible.utils.display import Display
from ansible.utils.vars import load_extra_vars
from ansible.vars.manager import VariableManager

from labkit.inputs import VERIFY, Specs, convert, read_specs, unknown

PATTERN_CHARACTERS = frozenset("*?[]&!~:@")
NEAR_ENOUGH = 0.6
# How Ansible 2.19 words what it cannot read.
LINE = re.compile(r":\d+:\d+: ")
PLUGIN = re.compile(r"inventory with '(.+)' plugin")
SOURCE = re.compile(r"with source '(.+)'")
OPEN_BRACKET = re.compile(r"not enough values to unpack.*")
PREAMBLE = re.compile(r"(?<=: )Failed to parse inventory: |^Failed to parse inventory: ")


class Source:
    """One inventory with its variables, as a playbook run would see them."""

    def __init__(self, request: Mapping[str, Any]) -> None:
        context.CLIARGS = ImmutableDict(extra_vars=tuple(request["extra_vars"]))
        init_plugin_loader()
        self.loader = DataLoader()
        CLI.setup_vault_secrets(
            self.loader,
            vault_ids=list(C.DEFAULT_VAULT_IDENTITY_LIST),
            vault_password_files=list(request["vault_password_files"]),
            auto_prompt=False,
        )
        # Else each inventory plugin does it, and calls what is wrong there an inventory's fault.
        try:
            load_extra_vars(self.loader)
        except AnsibleError as error:
            raise AnsibleError(f"--extra-vars: {words(error)}") from error
        self.inventory = _read_inventory(self.loader, request["inventory"])
        self.variables = VariableManager(loader=self.loader, inventory=self.inventory)
        connection_loader.get("ssh", class_only=True)
        become_loader.get("sudo", class_only=True)

    def machines(self) -> list[Host]:
        """Return the hosts of group `machines`, or all outside `depot` where there is none."""
        grouped = "machines" in self.inventory.groups
        return list(self.inventory.get_hosts("machines" if grouped else "all:!depot"))

    def depot(self) -> Host | None:
        """
        Return the host of group `depot`, None where there is none.

        Raises:
            AnsibleError: There are several.
        """
        hosts = list(self.inventory.get_hosts("depot")) if "depot" in self.inventory.groups else []
        if len(hosts) > 1:
            names = ", ".join(host.name for host in hosts)
            raise AnsibleError(f"group depot has {names}, but a class has one depot")
        return hosts[0] if hosts else None

    def describe(self, host: Host, defaults: Mapping[str, Any], specs: Specs) -> dict[str, Any]:
        """Return one machine's seat, connection and inputs, templated, and what is wrong."""
        own = self.variables.get_vars(host=host)
        variables = {**defaults, **own}
        values = Values(Templar(self.loader, variables=variables), variables)
        special = {name: values.now(name) for name in variables if name.startswith("ansible_")}
        inputs, wrong = convert(specs, {name: values.maybe(name) for name in defaults})
        if values.wrong:  # of what follows nothing would be true
            return {"name": host.name, "seat": host.name, "wrong": values.wrong}
        ssh = C.config.get_plugin_options("connection", "ssh", variables=special)
        sudo = C.config.get_plugin_options("become", "sudo", variables=special)
        return {
            "name": host.name,
            "seat": str(values.maybe("seat") or host.name),
            "connection_plugin": str(special.get("ansible_connection", C.DEFAULT_TRANSPORT)),
            "connection": {
                "host": ssh["host"] if "ansible_host" in special else host.name,
                "port": ssh["port"],
                "user": ssh["remote_user"],
                "key": ssh["private_key_file"],
                "arguments": [ssh["ssh_args"], ssh["ssh_common_args"], ssh["ssh_extra_args"]],
                "password": ssh["password"],
                "become_password": sudo["become_pass"],
                "ssh": ssh["ssh_executable"],
            },
            "inputs": inputs,
            "wrong": wrong + unknown(specs, own),
        }

    def choose(self, limit: str | None, machines: list[dict[str, Any]]) -> list[str]:
        """Return the names that the limit leaves; a seat's name works like a group's."""
        if limit is None:
            return [machine["name"] for machine in machines]
        for machine in machines:
            name = machine["seat"]
            if name not in self.inventory.hosts:
                self.inventory.add_group(name)
                self.inventory._inventory.add_child(name, machine["name"])  # noqa: SLF001 - the manager offers no way to add a host to a group
        self.inventory.clear_caches()
        self._refuse_unknown(limit)
        try:
            self.inventory.subset(limit)
        except AnsibleError as error:
            raise AnsibleError(f"--limit: {error}") from error
        left = {host.name for host in self.inventory.get_hosts("all")}
        return [machine["name"] for machine in machines if machine["name"] in left]

    def _refuse_unknown(self, limit: str) -> None:
        """Refuse a limit that Ansible would take for everybody, or would quietly pass over."""
        for part in limit.split(","):
            if part.strip().startswith("~"):
                _refuse_broken_expression(part.strip()[1:])
        parts = split_host_pattern(limit)
        if not parts:
            raise AnsibleError("--limit is empty")
        for part in parts:
            # Of a machine to leave out, too, a wrong name would change who takes part.
            name = part.lstrip("!&")
            if not PATTERN_CHARACTERS & set(name) and not self.inventory.get_hosts(name):
                near = get_close_matches(name, self._names(), n=1, cutoff=NEAR_ENOUGH)
                offer = f"; did you mean {near[0]}?" if near else ""
                raise AnsibleError(f"no machine matches --limit {name!r}{offer}")

    def _names(self) -> list[str]:
        return [*self.inventory.hosts, *self.inventory.groups]


class Values:
    """A machine's variables, templated one by one; `wrong` has a line for each that cannot be."""

    def __init__(self, templar: Templar, variables: Mapping[str, Any]) -> None:
        self._templar, self._variables = templar, variables
        self.wrong: list[str] = []

    def now(self, name: str) -> Any:
        """Return a value that must be known before any machine is met."""
        try:
            return self._templar.template(self._variables[name])
        except AnsibleError as error:
            self.wrong.append(f"{name}: {error}")
            return None

    def maybe(self, name: str) -> Any:
        """Return a value, or None where it needs a fact that only a run can gather."""
        try:
            return self._templar.template(self._variables.get(name))
        except AnsibleUndefinedVariable:
            return None
        except AnsibleError as error:
            self.wrong.append(f"{name}: {error}")
            return None


def _read_inventory(loader: DataLoader, source: str) -> InventoryManager:
    """
    Return the inventory.

    Raises:
        AnsibleError: A file of it cannot be read; it says what Ansible itself only warns of.
    """
    said: dict[str, str] = {}

    def keep(msg: str, exception: BaseException) -> None:
        if plugin := PLUGIN.search(msg):
            text = OPEN_BRACKET.sub("a [ has no ]", PREAMBLE.sub("", words(exception)))
            file = SOURCE.search(str(getattr(exception, "obj", "")))
            said[plugin[1]] = f"{file[1]}: {text}" if file and file[1] not in text else text

    # Each way of reading a file has its own complaint, and none of them is in the error.
    Display().error_as_warning = keep
    try:
        return InventoryManager(loader=loader, sources=[source])
    except AnsibleError:
        if not said:
            raise AnsibleError(f"no file in {source} is an inventory") from None
        raise AnsibleError(_most_telling(said)) from None


def _most_telling(said: Mapping[str, str]) -> str:
    """Return the complaint of the plugin that the file was meant for."""
    if "auto" in said:  # which is asked about YAML files only
        yaml = said.get("yaml", "")
        better = "Plugin configuration" in yaml or LINE.search(said["auto"])
        return said["auto"] if better else yaml or said["auto"]
    return said.get("script") or list(said.values())[-1]


def _refuse_broken_expression(expression: str) -> None:
    try:
        re.compile(expression)
    except re.error as error:
        raise AnsibleError(f"--limit: ~{expression} is no regular expression: {error}") from error
    if not expression:
        raise AnsibleError("--limit: ~ is a regular expression without an end")


def role_defaults(loader: DataLoader, roles: Iterable[Path]) -> dict[str, Any]:
    """Return every input of every role with its default, ready to be templated."""
    defaults: dict[str, Any] = {}
    for role in roles:
        file = role / "defaults" / "main.yml"
        if file.exists():
            defaults |= loader.load_from_file(str(file), trusted_as_template=True) or {}
    return defaults


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return `{"machines": [...], "depot": {...}, "chosen": [...], "extra_vars": {...}}`.

    `depot` is described as a machine is, and None where the class has none.

    Raises:
        AnsibleError: The inventory, a variable file, a vault or the limit is wrong.
    """
    source = Source(request)
    roles = sorted(Path(request["roles"]).iterdir())
    defaults = role_defaults(source.loader, roles)
    defaults |= {name: option["default"] for name, option in VERIFY.items()}
    specs = read_specs(source.loader, roles) | {"verify": VERIFY}
    depot = (host := source.depot()) and source.describe(host, defaults, specs)
    if depot and not depot["wrong"]:
        defaults["preflight_depot"] = depot["url"] = _url_of(depot["inputs"])
    # Its template asks for the depot's variables, which only a run has at hand.
    port = depot["inputs"]["depot_proxy_port"] if depot and not depot["wrong"] else None
    defaults["preflight_depot_proxy_port"] = port
    machines = [source.describe(host, defaults, specs) for host in source.machines()]
    return {
        "machines": machines,
        "depot": depot,
        "chosen": source.choose(request["limit"], machines),
        "extra_vars": source.variables.extra_vars,
    }


def _url_of(depot: Mapping[str, Any]) -> str:
    address = str(depot["depot_address"])
    return f"http://{f'[{address}]' if ':' in address else address}:{depot['depot_port']}"


def words(error: BaseException) -> str:
    """
    Return what an error says, led by the file and line that it is about.

    Ansible keeps the place apart from the words, in `obj` of the error or of its cause. An
    `obj` that is no place may be a secret, and is not shown.
    """
    cause: BaseException | None = error
    while cause:
        place = getattr(cause, "obj", None)
        if getattr(place, "path", None) and hasattr(place, "line_num"):
            said = str(error)
            return said if str(place) in said else f"{place}: {said}"
        cause = cause.__cause__ or cause.__context__
    return str(error)


def main() -> int:
    """Answer one request; an error of Ansible's is answered as `{"error": text}`."""
    try:
        reply = answer(json.load(sys.stdin))
    except AnsibleError as error:
        reply = {"error": words(error)}
    json.dump(reply, sys.stdout, cls=AnsibleJSONEncoder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
