#!/usr/bin/python
"""Have the depot's packages, and keep the services that come with them from starting."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_apt import Answer, apt_get

DOCUMENTATION = r"""
module: labkit_depot_packages
short_description: Have the depot's packages, and keep the services that come with them still
description:
  - Installs what is missing, its own services masked, since port 80 may be somebody else's.
  - What was there before is left as it is, running or not; absent removes only what it installed.
options:
  state: {description: "present or absent.", type: str, default: present}
author: [labkit]
"""
EXAMPLES = r"""
- name: Have nginx and the registry
  labkit_depot_packages: {}
"""
RETURN = r"""
packages: {description: What was installed or removed., type: list, returned: success}
waiting: {description: "Who keeps apt busy, empty for nobody.", type: str, returned: success}
notes: {description: What the instructor should know., type: list, returned: success}
"""

# ca-certificates: for what nginx asks by https; it stays, others may have come to need it.
WANTED = ("nginx", "docker-registry", "ca-certificates")
OWN_UNITS = {"nginx": "nginx.service", "docker-registry": "docker-registry.service"}
# By whichever of its packages: on Ubuntu 22.04 "nginx" only names others.
SERVER = Path("/usr/sbin/nginx")
NOTED = Path("/etc/labkit-depot/installed.json")
UNITS = Path("/etc/systemd/system")


def installed(*patterns: str) -> list[str]:
    """Return the names of installed packages that match."""
    form = "--showformat=${Package} ${Status}\n"
    lines = run("dpkg-query", "--show", form, *patterns).splitlines()
    return [line.split()[0] for line in lines if line.endswith(" ok installed")]


def noted() -> list[str]:
    """Return the packages that an earlier run installed."""
    return list(json.loads(NOTED.read_text())) if NOTED.exists() else []


def run(*words: str) -> str:
    """Return what a command says, whatever comes of it."""
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def install(names: list[str]) -> Answer:
    """Install packages whose own services are masked before they come."""
    NOTED.parent.mkdir(mode=0o755, exist_ok=True)
    NOTED.write_text(json.dumps(sorted({*noted(), *names})))
    for unit in (OWN_UNITS[name] for name in names if name in OWN_UNITS):
        if not (UNITS / unit).exists() and not (UNITS / unit).is_symlink():
            (UNITS / unit).symlink_to("/dev/null")
    run("systemctl", "daemon-reload")
    updated = apt_get("update")
    if updated.waiting:
        return updated
    done = apt_get("install", "--yes", "--no-install-recommends", "--", *names)
    done = done._replace(notes=updated.notes + done.notes)
    return done._replace(wrong=f"{updated.wrong}\n{done.wrong}".strip()) if done.wrong else done


def remove(names: list[str]) -> Answer:
    """Remove what was installed for the depot, and the masks."""
    parts = {"nginx": ("nginx*", "libnginx-*")}
    own = [one for one in names if one in OWN_UNITS]
    doomed = [found for name in own for found in installed(*parts.get(name, (name,)))]
    done = apt_get("purge", "--yes", "--", *doomed) if doomed else Answer("")
    if not done.wrong:
        for unit in (UNITS / OWN_UNITS[name] for name in own):
            if unit.is_symlink() and unit.readlink() == Path("/dev/null"):
                unit.unlink()
        run("systemctl", "daemon-reload")
        NOTED.unlink(missing_ok=True)
        if NOTED.parent.is_dir() and not any(NOTED.parent.iterdir()):
            NOTED.parent.rmdir()
    return done


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    there = [*installed(*WANTED), *(["nginx"] if SERVER.exists() else [])]
    names = [name for name in WANTED if name not in there] if present else noted()
    done = Answer("")
    if names and not module.check_mode:
        done = (install if present else remove)(names)
        if done.waiting:
            module.exit_json(changed=False, **done.result())
        if done.wrong:
            verb = "install" if present else "remove"
            what = f"apt could not {verb} {', '.join(names)}: {done.wrong}"
            todo = "apt's own words say why; run again when it works there"
            module.fail_json(msg=what, problems=[{"what": what, "todo": todo}])
    module.exit_json(changed=bool(names), packages=names, waiting="", notes=list(done.notes))


if __name__ == "__main__":
    main()
