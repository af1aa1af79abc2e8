"""A script and its unit, which bring about at every boot what the kernel forgets."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.labkit_changes import Change, file_change
from ansible.module_utils.labkit_machine import run

if TYPE_CHECKING:
    from ansible.module_utils.labkit_firewall import Rule

SCRIPT = "/etc/labkit/swarm-at-boot"
UNIT = "/etc/systemd/system/labkit-swarm.service"
NAME = Path(UNIT).name

HEAD = """#!/bin/sh
# Written by labkit: what a swarm needs of this machine, and what a boot or a firewall's restart
# would undo. `check` only tells what is missing.
mode=${1-apply}
wrong=0
need() { # what, test, remedy
    sh -c "$2" >/dev/null 2>&1 && return
    if [ "$mode" = check ] || ! sh -c "$3" >/dev/null; then
        echo "missing: $1"
        wrong=1
    fi
}
"""
# After whatever makes rules of its own at boot, and again when that is done over.
FIREWALLS = "nftables.service netfilter-persistent.service firewalld.service ufw.service"
SERVICE = f"""# Written by labkit.
[Unit]
Description=Keep a swarm of this seat's machines possible (labkit)
After=network.target {FIREWALLS}
PartOf={FIREWALLS}
ReloadPropagatedFrom={FIREWALLS}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={SCRIPT}
ExecReload={SCRIPT}

[Install]
WantedBy=multi-user.target
"""


def script(rules: list[Rule]) -> str:
    """Return the script that tests each rule, and brings about what is missing."""
    lines = "".join(f"need {shlex.join(rule)}\n" for rule in rules)
    return f"{HEAD}{lines}exit $wrong\n"


def boot_changes(rules: list[Rule]) -> list[Change]:
    """Return what it takes for the rules to hold now and at every boot; none, and all goes."""
    if not rules:
        gone = [Change(f"stop {NAME}", ("systemctl", "disable", "--now", NAME))]
        files = [*file_change(UNIT, ""), *file_change(SCRIPT, "")]
        return [*(gone if Path(UNIT).exists() else []), *files]
    files = [*file_change(SCRIPT, script(rules), 0o755), *file_change(UNIT, SERVICE)]
    changes = [*files, *([Change("read units anew", ("systemctl", "daemon-reload"))] * bool(files))]
    if missing := [rule.what for rule in rules if run("sh", "-c", rule.test)[0]]:
        others = f", and {len(missing) - 1} more" if missing[1:] else ""
        changes.append(Change(f"{missing[0]}{others}", (SCRIPT,)))
    if any(run("systemctl", asked, "--quiet", NAME)[0] for asked in ("is-enabled", "is-active")):
        changes.append(Change(f"start {NAME}", ("systemctl", "enable", "--now", NAME)))
    return changes
