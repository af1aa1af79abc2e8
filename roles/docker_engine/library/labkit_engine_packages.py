#!/usr/bin/python
"""Choose which package of the Docker engine a machine gets, and in which version."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

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
lock: {description: "For machines that come later: key, packages.", type: dict, returned: success}
"""

# The first of each list is the engine.
PACKAGES = {
    ("distribution", "debian"): [
        "docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose",
    ],
    ("distribution", "ubuntu"): [
        "docker.io", "containerd", "runc", "docker-buildx", "docker-compose-v2",
    ],
    ("docker", ""): [
        "docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin",
        "docker-compose-plugin",
    ],
}  # fmt: skip
# These have the version that is asked for; the others have versions of their own.
ENGINE = {"docker.io", "docker-cli", "docker-ce", "docker-ce-cli"}
IN_THE_WAY = {"podman-docker", "docker-ce-rootless-extras", "docker-compose", "docker-engine"}
STALE_SECONDS = 3600


class Installed(NamedTuple):
    """A package that is on the machine."""

    version: str
    held: bool


class Refusal(Exception):
    """No version fits; the text names those that are known."""


def packages_of(source: str, distribution: str, release: str) -> list[str]:
    """
    Return the names of the packages that make the engine complete.

    Raises:
        Refusal: The distribution has no Compose v2 that could be installed.
    """
    if source == "distribution" and (distribution, release) == ("debian", "12"):
        raise Refusal(
            "Debian 12 has no Compose v2 of its own; "
            "set docker_engine_source: docker for this machine"
        )
    return PACKAGES["docker", ""] if source == "docker" else PACKAGES[source, distribution]


def in_the_way(wanted: list[str]) -> list[str]:
    """Return the packages that must not be installed beside those wanted."""
    known = {name for names in PACKAGES.values() for name in names} | IN_THE_WAY
    return sorted(known - set(wanted))


def fits(version: str, prefix: str) -> bool:
    """
    Tell whether a Debian version is of the release that the prefix names.

    "28.5" fits "5:28.5.2-1~debian.13~trixie" and "28.5.2+dfsg1-1", but not "28.51.0".
    An empty prefix names no release in particular.
    """
    upstream = version.split(":", 1)[-1]
    return not prefix or any(
        text == prefix or re.match(re.escape(prefix) + r"(?!\d)", text)
        for text in (version, upstream)
    )


def read_policy(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return candidate ("" if none) and versions, newest first, from `apt-cache policy`."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        name = block.partition(":\n")[0]
        candidate = re.search(r"^  Candidate: (\S+)$", block, re.MULTILINE)
        if candidate:
            versions = re.findall(r"^ (?:\*\*\*|   ) (\S+) ", block, re.MULTILINE)
            found[name] = ("" if candidate[1] == "(none)" else candidate[1], versions)
    return found


def choose(name: str, known: tuple[str, list[str]], prefix: str, preferred: str) -> str:
    """
    Return the version of one package: the preferred, the candidate or the newest that fits.

    Raises:
        Refusal: None of those known fits.
    """
    candidate, versions = known
    for version in [preferred, candidate, *versions]:
        if version in versions and fits(version, prefix):
            return version
    listed = ", ".join(versions) or "none"
    asked = f" {prefix}" if prefix else ""
    raise Refusal(f"No package {name}{asked} can be installed here; apt knows: {listed}")


def choose_all(
    names: list[str],
    policy: dict[str, tuple[str, list[str]]],
    prefix: str,
    sets: list[dict[str, str]],
) -> dict[str, str]:
    """
    Return the version of each package.

    A class does not change its engine because the archive got a newer one: the first of
    the sets (what the class's lock says, what is held here) whose engine fits is taken.
    It is taken whole or not at all: an engine is asked for with what belongs to it.
    """
    engine = names[0]
    none: tuple[str, list[str]] = ("", [])
    usable = [
        chosen
        for chosen in sets
        if chosen.get(engine) in policy.get(engine, none)[1] and fits(chosen[engine], prefix)
    ]
    preferred = usable[0] if usable else {}
    return {
        name: choose(
            name,
            policy.get(name, none),
            prefix if name in ENGINE else "",
            preferred.get(name, ""),
        )
        for name in names
    }


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
        Fetch the package lists; another apt that holds them is waited for.

        A source that does not answer is no failure yet: the lists may know enough.
        """
        for _ in range(60):
            errors = self.module.run_command(["apt-get", "update", "-q"])[2]
            if "Could not get lock" not in errors:
                break
            time.sleep(5)
        else:
            self.module.fail_json(msg=f"apt's package lists stayed locked for 5 minutes: {errors}")
        self.errors = errors.strip()

    errors = ""


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
        module.exit_json(changed=False, **(decision or decide(machine, module.params)))
    except Refusal as refusal:
        if module.check_mode:
            module.exit_json(changed=True, msg=f"{refusal} (until the lists are fetched)")
        module.fail_json(msg=f"{refusal}. {machine.errors}".removesuffix(". "))


if __name__ == "__main__":
    main()
