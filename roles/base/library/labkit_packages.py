#!/usr/bin/python
"""Have packages installed, in one apt transaction that waits for its turn."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_apt import Answer, apt_get

DOCUMENTATION = r"""
module: labkit_packages
short_description: Have packages installed, in one apt transaction that waits for its turn
description:
  - Asks dpkg first, and runs apt only where something is missing.
  - Needs no python3-apt, so that a dry run on a bare machine can tell what is missing.
  - Where another apt is at work it comes back after some seconds with `waiting`, for `until`.
options:
  names: {description: Names of packages., type: list, elements: str, required: true}
  cache_seconds: {description: Age up to which package lists will do., type: int, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Install an editor
  labkit_packages: {names: [vim], cache_seconds: 3600}
  register: installed
  until: not installed.waiting
  delay: 5
"""
RETURN = r"""
installed: {description: What was missing and is there now., type: list, returned: success}
notes: {description: What the instructor should know., type: list, returned: success}
waiting: {description: Who keeps apt from working, else empty., type: str, returned: success}
"""

LISTS = Path("/var/lib/apt/lists")


def missing(names: list[str], listing: str) -> list[str]:
    """Return the names that a listing of `NAME want ok STATE` lines does not show as installed."""
    there = {line.split()[0] for line in listing.splitlines() if line.endswith(" ok installed")}
    return [name for name in dict.fromkeys(names) if name not in there]


def listed(names: list[str]) -> str:
    """Return dpkg's state of the packages, as `missing` reads it; unknown ones have no line."""
    form = "--showformat=${Package} ${Status}\n"
    command = ["dpkg-query", "--show", form, "--", *names]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def lists_age() -> float:
    """Return the seconds since apt last fetched its lists, infinite if it never did."""
    newest = [path.stat().st_mtime for path in LISTS.glob("*Release")]
    if not newest:
        return float("inf")
    # A server's "nothing new" leaves the files alone, but not their folders.
    folders = [path.stat().st_mtime for path in (LISTS, LISTS / "partial") if path.is_dir()]
    return time.time() - max(newest + folders)


def install(names: list[str], cache_seconds: int) -> Answer:
    """
    Install packages, with package lists that are young enough.

    One source that apt cannot read is no failure yet: the others may have all that is wanted,
    and a stale source of Docker's is removed only later.
    """
    fresh = lists_age() < cache_seconds
    updated = Answer("") if fresh else apt_get("update")
    if updated.waiting:
        return updated
    words = ("install", "--yes", "--no-install-recommends", "--", *names)
    done = apt_get(*words)
    if done.wrong and not done.waiting and fresh and not apt_get("update").wrong:
        # Young lists may still name what the mirror has replaced since.
        done = apt_get(*words)
    done = done._replace(notes=updated.notes + done.notes)
    return done._replace(wrong=f"{updated.wrong}\n{done.wrong}".strip()) if done.wrong else done


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "cache_seconds": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    done = Answer("")
    wanted = missing(names, listed(names)) if names else []
    if wanted and not module.check_mode:
        done = install(wanted, module.params["cache_seconds"])
        if done.waiting:
            module.exit_json(changed=False, **done.result())
        if done.wrong:
            module.fail_json(msg=f"apt could not install {', '.join(wanted)}: {done.wrong}")
    notes = list(done.notes)
    module.exit_json(changed=bool(wanted), installed=wanted, waiting="", notes=notes)


if __name__ == "__main__":
    main()
