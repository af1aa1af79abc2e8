#!/usr/bin/python
"""Have packages installed, in one apt transaction that waits for its turn."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_packages
short_description: Have packages installed, in one apt transaction that waits for its turn
description:
  - Asks dpkg first, and runs apt only where something is missing.
  - Needs no python3-apt, so that a dry run on a bare machine can tell what is missing.
  - Waits for both of apt's locks; apt itself waits for one only (DPkg::Lock::Timeout).
options:
  names: {description: Names of packages., type: list, elements: str, required: true}
  lock_seconds: {description: How long another apt may keep us waiting., type: int, required: true}
  cache_seconds: {description: Age up to which package lists will do., type: int, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Install an editor
  labkit_packages: {names: [vim], lock_seconds: 600, cache_seconds: 3600}
"""
RETURN = r"""
installed: {description: What was missing and is there now., type: list, returned: success}
"""

LISTS = Path("/var/lib/apt/lists")
_LOCKED = ("Could not get lock", "Unable to lock", "is another process using it")


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


def quiet() -> dict[str, str]:
    """Return the environment in which packages ask nothing, also not what to restart."""
    return {
        **os.environ,
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }


def apt_get(*words: str, lock_seconds: int) -> str:
    """
    Run apt-get without a question, again and again while another one holds a lock.

    Return what went wrong, "" if nothing did.
    """
    end = time.monotonic() + lock_seconds
    options = ["-q", "-o", f"DPkg::Lock::Timeout={lock_seconds}", "-o", "Dpkg::Use-Pty=0"]
    while True:
        done = subprocess.run(
            ["apt-get", *options, *words],
            env=quiet(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return ""
        if time.monotonic() > end or not any(sign in done.stderr for sign in _LOCKED):
            return done.stderr.strip() or done.stdout.strip()[-2000:]
        time.sleep(2)


def install(names: list[str], lock_seconds: int, cache_seconds: int) -> str:
    """Install packages, with package lists that are young enough; return what went wrong."""
    fresh = lists_age() < cache_seconds
    if not fresh and (wrong := apt_get("update", lock_seconds=lock_seconds)):
        return wrong
    words = ("install", "--yes", "--no-install-recommends", "--", *names)
    wrong = apt_get(*words, lock_seconds=lock_seconds)
    if "dpkg --configure -a" in wrong:
        # An earlier transaction was cut off; this is what dpkg asks for.
        subprocess.run(["dpkg", "--configure", "-a"], env=quiet(), check=False)
        wrong = apt_get(*words, lock_seconds=lock_seconds)
    if wrong and fresh and not apt_get("update", lock_seconds=lock_seconds):
        # Young lists may still name what the mirror has replaced since.
        wrong = apt_get(*words, lock_seconds=lock_seconds)
    return wrong


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "lock_seconds": {"type": "int", "required": True},
            "cache_seconds": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    wanted = missing(names, listed(names)) if names else []
    if wanted and not module.check_mode:
        wrong = install(wanted, module.params["lock_seconds"], module.params["cache_seconds"])
        if wrong:
            module.fail_json(msg=f"apt could not install {', '.join(wanted)}: {wrong}")
    module.exit_json(changed=bool(wanted), installed=wanted)


if __name__ == "__main__":
    main()
