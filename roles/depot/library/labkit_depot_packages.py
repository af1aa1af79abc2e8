#!/usr/bin/python
"""Have the depot's packages, and keep the services that come with them from starting."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_depot_packages
short_description: Have the depot's packages, and keep the services that come with them still
description:
  - Installs what is missing, its own services masked, since port 80 may be somebody else's.
  - What was there before is left as it is, running or not; absent removes only what it installed.
options:
  state: {description: "present or absent.", type: str, default: present}
  seconds: {description: How long another apt is waited for., type: int, default: 600}
author: [labkit]
"""
EXAMPLES = r"""
- name: Have nginx and the registry
  labkit_depot_packages: {}
"""
RETURN = r"""
packages: {description: What was installed or removed., type: list, returned: success}
"""

# ca-certificates: for what nginx asks by https; it stays, others may have come to need it.
WANTED = ("nginx", "docker-registry", "ca-certificates")
OWN_UNITS = {"nginx": "nginx.service", "docker-registry": "docker-registry.service"}
NOTED = Path("/etc/labkit-depot/installed.json")
UNITS = Path("/etc/systemd/system")
LOCKED = re.compile(r"Could not get lock|Unable to (?:acquire|lock)|is another process using it")


def installed(*patterns: str) -> list[str]:
    """Return the names of installed packages that match."""
    form = "--showformat=${Package} ${Status}\n"
    done = run("dpkg-query", "--show", form, *patterns)
    return [line.split()[0] for line in done.stdout.splitlines() if line.endswith(" ok installed")]


def noted() -> list[str]:
    """Return the packages that an earlier run installed."""
    return list(json.loads(NOTED.read_text())) if NOTED.exists() else []


def apt(seconds: int, *words: str) -> str:
    """Run apt-get, once whoever is before us has ended; return what was wrong, else ""."""
    deadline = time.monotonic() + seconds
    while True:
        done = run("apt-get", "-q", "-o", "DPkg::Lock::Timeout=30", *words)
        if not done.returncode:
            return ""
        if not LOCKED.search(done.stderr) or time.monotonic() > deadline:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return "\n".join(lines[-8:])
        time.sleep(5)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command that asks nothing, in words that can be read."""
    silent = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        words,
        env={**os.environ, **silent},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def install(names: list[str], seconds: int) -> str:
    """Install packages whose own services are masked before they come; return what was wrong."""
    NOTED.parent.mkdir(mode=0o755, exist_ok=True)
    NOTED.write_text(json.dumps(sorted({*noted(), *names})))
    for unit in (OWN_UNITS[name] for name in names if name in OWN_UNITS):
        if not (UNITS / unit).exists() and not (UNITS / unit).is_symlink():
            (UNITS / unit).symlink_to("/dev/null")
    run("systemctl", "daemon-reload")
    updated = apt(seconds, "update")
    wrong = apt(seconds, "install", "--yes", "--no-install-recommends", "--", *names)
    return f"{updated}\n{wrong}".strip() if wrong else ""


def remove(names: list[str], seconds: int) -> str:
    """Remove what was installed for the depot, and the masks; return what was wrong."""
    parts = {"nginx": ("nginx*", "libnginx-*")}
    own = [one for one in names if one in OWN_UNITS]
    doomed = [found for name in own for found in installed(*parts.get(name, (name,)))]
    wrong = apt(seconds, "purge", "--yes", "--", *doomed) if doomed else ""
    if not wrong:
        for unit in (UNITS / OWN_UNITS[name] for name in own):
            if unit.is_symlink() and unit.readlink() == Path("/dev/null"):
                unit.unlink()
        run("systemctl", "daemon-reload")
        NOTED.unlink(missing_ok=True)
        if NOTED.parent.is_dir() and not any(NOTED.parent.iterdir()):
            NOTED.parent.rmdir()
    return wrong


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "seconds": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    there = installed(*WANTED)
    names = [name for name in WANTED if name not in there] if present else noted()
    if names and not module.check_mode:
        wrong = (install if present else remove)(names, module.params["seconds"])
        if wrong:
            verb = "install" if present else "remove"
            what = f"apt could not {verb} {', '.join(names)}: {wrong}"
            todo = "apt's own words say why; run again when it works there"
            module.fail_json(msg=what, problems=[{"what": what, "todo": todo}])
    module.exit_json(changed=bool(names), packages=names)


if __name__ == "__main__":
    main()
