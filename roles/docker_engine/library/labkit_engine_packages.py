#!/usr/bin/python
"""Choose which package of the Docker engine a machine gets, and in which version."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_apt import apt_get
from ansible.module_utils.labkit_engine_versions import (
    Refusal,
    choose_all,
    in_the_way,
    packages_of,
    read_policy,
)

DOCUMENTATION = r"""
module: labkit_engine_packages
short_description: Choose the packages of the Docker engine
description:
  - Reads what apt knows and what is installed, and decides. Nothing is installed here;
    only the package lists are refreshed, and only if they do not know what is asked for.
options:
  machine:
    {description: "The facts of preflight: distribution, release.", type: dict, required: true}
  source:
    {description: Where it comes from., choices: [distribution, docker], required: true}
  version:
    {description: Beginning of the engine's version; empty for any., type: raw, default: ""}
  locked:
    description: For each distribution-release-source, the version of each package.
    type: dict
    default: {}
  refresh: {description: The package sources changed., type: bool, default: false}
author: [labkit]
"""
EXAMPLES = r"""
- name: Choose the packages of the engine
  labkit_engine_packages: {machine: "{{ preflight_machine }}", source: docker, version: "28.5"}
"""
RETURN = r"""
packages: {description: Version of each package., type: dict, returned: success}
install: {description: Packages that are not there in that version., type: list, returned: success}
remove: {description: Installed packages that would be in the way., type: list, returned: success}
hold: {description: Packages that are not held yet., type: list, returned: success}
gone: {description: Locked versions that are not to be had., type: list, returned: success}
downgrade: {description: Packages that would become older., type: list, returned: success}
waiting: {description: "Who keeps apt from working, else empty.", type: str, returned: success}
lock: {description: "For machines that come later: key, packages.", type: dict, returned: success}
"""

STALE_SECONDS = 3600


class Installed(NamedTuple):
    """A package that is on the machine."""

    version: str
    held: bool


class Machine:
    """What apt and dpkg say on this machine."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        module.run_command_environ_update = {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}

    def run(self, *command: str) -> str:
        """Return what a command printed, whatever its exit status."""
        return str(self.module.run_command(list(command))[1])

    def installed(self, names: list[str]) -> dict[str, Installed]:
        """Return those of the packages that are installed, also half-way."""
        rows = self.run(
            "dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Abbrev}\n", *names
        )
        cells = [row.split() for row in rows.splitlines()]
        return {
            row[0]: Installed(row[1], held=row[2][0] == "h")
            for row in cells
            if len(row) == 3 and row[2][1] not in "nc"  # noqa: PLR2004
        }

    def older(self, version: str, than: str) -> bool:
        """Compare two versions as dpkg does."""
        return bool(
            self.module.run_command(["dpkg", "--compare-versions", version, "lt", than])[0] == 0
        )

    def refresh(self) -> None:
        """
        Fetch the package lists, or end here where another apt is at work.

        A source that does not answer is no failure yet: the lists may know enough.
        """
        updated = apt_get("update")
        if updated.waiting:
            self.module.exit_json(changed=False, **updated.result())
        self.errors = updated.wrong
        self.notes = list(updated.notes)

    errors = ""
    notes: list[str] = []  # noqa: RUF012  (replaced, never added to)


def decide(machine: Machine, params: dict[str, Any]) -> dict[str, Any]:
    """Return what RETURN describes, from what apt knows at this moment."""
    facts, source = params["machine"], params["source"]
    names = packages_of(source, facts["distribution"], facts["release"])
    key = f"{facts['distribution']}-{facts['release']}-{source}"
    locked = params["locked"].get(key, {})
    rivals = in_the_way(names)
    installed = machine.installed([*names, *rivals])
    policy = read_policy(machine.run("apt-cache", "policy", *names))
    held = {name: package.version for name, package in installed.items() if package.held}
    packages = choose_all(names, policy, str(params["version"]), [locked, held])
    there = {name: installed[name] for name in names if name in installed}
    install = [n for n in names if n not in there or there[n].version != packages[n]]
    return {
        "packages": packages,
        "install": install,
        "remove": [name for name in rivals if name in installed],
        "hold": [name for name in names if name in install or not there[name].held],
        "downgrade": [
            f"{name} {there[name].version} to {packages[name]}"
            for name in install
            if name in there and machine.older(packages[name], there[name].version)
        ],
        "gone": [f"{n} {v}" for n, v in locked.items() if n in names and packages[n] != v],
        "lock": {"key": key, "packages": packages},
    }


def lists_age() -> float:
    """Return the seconds since the package lists were fetched."""
    lists = Path("/var/lib/apt/lists")
    return time.time() - lists.stat().st_mtime if lists.is_dir() else float("inf")


def main() -> None:
    """Decide; look again with fresh package lists where the old ones do not do."""
    module = AnsibleModule(
        argument_spec={
            "machine": {"type": "dict", "required": True},
            "source": {"choices": ["distribution", "docker"], "required": True},
            "version": {"type": "raw", "default": ""},
            "locked": {"type": "dict", "default": {}},
            "refresh": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if isinstance(module.params["version"], float):
        module.fail_json(
            msg="docker_engine_version must be a text, since 28.10 as a number is 28.1; "
            'in YAML write "28.5", in INI \'"28.5"\''
        )
    machine = Machine(module)
    may_refresh = not module.check_mode
    if may_refresh and module.params["refresh"]:
        machine.refresh()
        may_refresh = False
    try:
        try:
            decision = decide(machine, module.params)
            stale = decision["install"] and (decision["gone"] or lists_age() > STALE_SECONDS)
        except Refusal:
            decision, stale = None, True
        if stale and may_refresh:
            machine.refresh()
            decision = None
        decision = decision or decide(machine, module.params)
        module.exit_json(changed=False, waiting="", notes=machine.notes, **decision)
    except Refusal as refusal:
        if module.check_mode:
            module.exit_json(
                changed=True, waiting="", msg=f"{refusal} (until the lists are fetched)"
            )
        module.fail_json(msg=f"{refusal}. {machine.errors}".removesuffix(". "))


if __name__ == "__main__":
    main()
