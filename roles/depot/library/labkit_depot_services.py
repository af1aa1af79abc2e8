#!/usr/bin/python
"""Run the depot's services with the files they read, or take them away with all it holds."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_depot_services
short_description: Run the depot's services, or take them away with all that the depot holds
description:
  - Restarts only those of whose files one changed, and only if nginx accepts its own.
  - A folder that holds something else than a depot is neither used nor removed.
options:
  units:
    description: Unit → path → text of each file that it reads.
    type: dict
    required: true
  directory: {description: Where all that the depot holds lies., type: path, required: true}
  state: {description: "present or absent.", type: str, default: present}
author: [labkit]
"""
EXAMPLES = r"""
- name: Run the depot
  labkit_depot_services:
    directory: /var/lib/labkit-depot
    units: {labkit-depot-store.service: {/etc/labkit-depot/store.yml: "version: 0.1"}}
"""
RETURN = r"""
restarted: {description: "Units that were started, or restarted.", type: list, returned: success}
"""

# It tells a depot's folder from any other that somebody named by mistake.
MARK = ".labkit-depot"
# The units that have not been restarted with the files that were written for them.
DUE = ".labkit-due"
# Folder → owner, where a service writes to it; to whom the store belongs its seeding decides.
FOLDERS = {
    "store": "",
    "through": "docker-registry",
    "packages": "www-data",
    "passing": "www-data",
    "log": "",
}
RUN = Path("/run/labkit-depot")
UNITS = Path("/etc/systemd/system")
ACTIVE = {"active", "activating", "reloading"}


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl, whatever comes of it."""
    return subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)


def is_foreign(directory: Path) -> bool:
    """Tell whether the folder holds something that no depot put there."""
    return directory.is_dir() and any(directory.iterdir()) and not (directory / MARK).exists()


def stale(files: dict[str, str]) -> dict[str, str]:
    """Return those files that do not have their text yet."""
    return {
        name: text
        for name, text in files.items()
        if not Path(name).is_file() or Path(name).read_text(errors="replace") != text
    }


def write(files: dict[str, str]) -> None:
    """Write files, each at once or not at all."""
    for name, text in files.items():
        path = Path(name)
        path.parent.mkdir(mode=0o755, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text)
        draft.chmod(0o644)
        draft.replace(path)


def missing_folders(directory: Path) -> list[str]:
    """Return the folders, by name, that are not there or not their owner's."""
    return [
        name
        for name, owner in FOLDERS.items()
        if not (directory / name).is_dir() or (owner and (directory / name).owner() != owner)
    ]


def make_folders(directory: Path) -> None:
    """Make the depot's folders, each its owner's."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    (directory / MARK).touch()
    for name, owner in FOLDERS.items():
        (directory / name).mkdir(mode=0o755, exist_ok=True)
        if owner:
            shutil.chown(directory / name, owner)


def refused() -> str:
    """Return why nginx refuses its configuration, "" where it does not."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    subprocess.run(["sh", "/etc/labkit-depot/resolver"], check=False)
    test = ["nginx", "-t", "-q", "-c", "/etc/labkit-depot/nginx.conf"]
    path = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
    done = subprocess.run(test, capture_output=True, text=True, check=False, env=path)
    return done.stderr.strip() if done.returncode else ""


def idle(units: dict[str, dict[str, str]]) -> list[str]:
    """Return the units that do not run, or would not after a reboot."""
    return [
        one
        for one in units
        if systemctl("is-active", one).stdout.strip() not in ACTIVE
        or systemctl("is-enabled", one).stdout.strip() != "enabled"
    ]


def owed(directory: Path) -> list[str]:
    """Return the units that an earlier run left with new files, but did not restart."""
    mark = directory / DUE
    return mark.read_text().split() if mark.exists() else []


def bring_up(module: AnsibleModule, directory: Path) -> list[str]:
    """Return the units that have to be, or were, started or restarted."""
    units = module.params["units"]
    changed = {one: stale(files) for one, files in units.items()}
    waiting = {*idle(units), *owed(directory)}
    due = [one for one in units if changed[one] or one in waiting]
    if missing_folders(directory):
        due = list(units)
    if not due or module.check_mode:
        return due
    make_folders(directory)
    (directory / DUE).write_text("\n".join(due))
    for files in changed.values():
        write(files)
    if wrong := refused():
        what = f"nginx refuses the depot's configuration: {wrong}"
        todo = "correct the depot_* input that it names"
        module.fail_json(msg=what, problems=[{"what": what, "todo": todo}])
    systemctl("daemon-reload")
    systemctl("enable", *due)
    if not systemctl("restart", *due).returncode:
        (directory / DUE).unlink()
    return due


def take_down(module: AnsibleModule, directory: Path) -> list[str]:
    """Return the files and folders that have to be, or were, removed."""
    files = [Path(name) for one in module.params["units"].values() for name in one]
    found = [path for path in (*files, directory) if path.exists()]
    if module.check_mode or not found:
        return [str(path) for path in found]
    systemctl("disable", "--now", *module.params["units"])
    for path in files:
        path.unlink(missing_ok=True)
    systemctl("daemon-reload")
    systemctl("reset-failed", *module.params["units"])
    for folder in {path.parent for path in files} - {UNITS}:
        # What labkit_depot_packages keeps there goes with the packages.
        with suppress(OSError):
            folder.rmdir()
    shutil.rmtree(RUN, ignore_errors=True)
    if directory.exists():
        shutil.rmtree(directory)
    return [str(path) for path in found]


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "dict", "required": True},
            "directory": {"type": "path", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    if is_foreign(directory):
        what = f"{directory} holds something that is no depot's"
        todo = "name an empty or a new folder as depot_directory"
        module.fail_json(msg=what, problems=[{"what": what, "todo": todo}])
    act = bring_up if module.params["state"] == "present" else take_down
    done = act(module, directory)
    module.exit_json(changed=bool(done), restarted=done)


if __name__ == "__main__":
    main()
