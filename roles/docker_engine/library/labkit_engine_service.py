#!/usr/bin/python
"""Keep the Docker engine running, with the settings that daemon.json holds now."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_engine_service
short_description: Run the Docker engine with its current settings
description:
  - Enables and starts the engine, and restarts it if daemon.json is newer than the process,
    or if its program was replaced since (Debian's own packages leave the old one running).
    (A handler would not do, since a run that is cut short forgets it.)
  - Containers that ran before are started again.
options:
  containers:
    {description: Containers that an upgrade may have stopped., type: list, elements: str, default: []}
  restart: {description: Restart it for another reason., type: bool, default: false}
  timeout: {description: Seconds in which it has to answer., type: int, default: 60}
author: [labkit]
"""  # noqa: E501  (one option a line)
EXAMPLES = r"""
- name: Run the engine now and at every boot
  labkit_engine_service: {containers: "{{ __docker_engine_install.containers }}"}
"""
RETURN = r"""
restarted: {description: Settings or packages asked for a restart., type: bool, returned: success}
revived: {description: Containers that were started again., type: list, returned: success}
"""

CONFIGURATION = Path("/etc/docker/daemon.json")
# The engine writes it when it starts.
PID_FILE = Path("/run/docker.pid")
UNITS = ("containerd.service", "docker.service")
# What Linux adds to the name of a running program whose file is gone: proc_pid_exe(5).
GONE = " (deleted)"


def needs_restart(configured: float, started: float, now: float) -> bool:
    """
    Tell whether the settings (times in seconds) are newer than the process.

    A time in the future, from a clock that was wrong, says nothing.
    """
    return started < configured <= now


class Service:
    """The engine's unit."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module

    def systemctl(self, *words: str) -> bool:
        """Run systemctl and tell whether it succeeded."""
        return bool(self.module.run_command(["systemctl", *words])[0] == 0)

    def replaced(self) -> list[str]:
        """Return those units that still run the program of an earlier package."""
        found = []
        for unit in UNITS:
            pid = self.module.run_command(
                ["systemctl", "show", "--property=MainPID", "--value", unit]
            )[1]
            # No process has the number 0, nor a unit that does not run any other.
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid.strip()}/exe").endswith(GONE):  # noqa: PTH115  (no file has such a name)
                    found.append(unit)
        return found

    def docker(self, *words: str) -> list[str]:
        """Return what the client printed, line by line."""
        return str(self.module.run_command(["docker", *words])[1]).splitlines()

    def fail(self, what: str) -> None:
        """Fail with the engine's own last words."""
        journal = self.module.run_command(
            ["journalctl", "--unit=docker.service", "--lines=15", "--no-pager", "--output=cat"]
        )[1]
        words = [line for line in journal.splitlines() if line.strip()]
        # The engine tells in one line why it ends; systemd adds many that do not.
        reasons = [
            line for line in words if "failed to start daemon" in line or "unable to" in line
        ]
        self.module.fail_json(msg="\n".join([what, *(reasons[-1:] or words)]))

    def wait(self, seconds: int) -> None:
        """Wait until the engine answers."""
        end = time.monotonic() + seconds
        while self.module.run_command(["docker", "version"])[0] != 0:
            if time.monotonic() > end or not self.systemctl("is-active", "--quiet", "docker"):
                self.fail(f"The engine does not answer, after {seconds} s or since it ended:")
            time.sleep(0.2)

    def running(self) -> list[str]:
        """Return the containers that run now; swarm starts its own again by itself."""
        rows = self.docker(
            "ps", "--no-trunc", "--format", '{{.ID}} {{.Label "com.docker.swarm.task.id"}}'
        )
        return [row.strip() for row in rows if len(row.split()) == 1]

    def revive(self, containers: list[str]) -> list[str]:
        """Start those containers again that are still there and do not run."""
        there = set(self.docker("ps", "--all", "--quiet", "--no-trunc", "--filter=status=exited"))
        down = [name for name in containers if name in there]
        if down:
            self.docker("start", *down)
        return down


def main() -> None:
    """Enable, start or restart, wait, and bring the containers back."""
    module = AnsibleModule(
        argument_spec={
            "containers": {"type": "list", "elements": "str", "default": []},
            "restart": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    service = Service(module)
    containers = list(module.params["containers"])
    enabled = service.systemctl("is-enabled", "--quiet", "docker.service")
    active = service.systemctl("is-active", "--quiet", "docker.service")
    replaced = service.replaced()
    restart = bool(replaced or module.params["restart"]) or (
        active
        and CONFIGURATION.exists()
        and PID_FILE.exists()
        and needs_restart(CONFIGURATION.stat().st_mtime, PID_FILE.stat().st_mtime, time.time())
    )
    if module.check_mode:
        module.exit_json(changed=not (enabled and active) or restart, restarted=restart)
    if restart:
        containers = sorted({*containers, *service.running()})
    if not enabled:
        service.systemctl("enable", "docker.service", "containerd.service")
    if restart or not active:
        service.systemctl("reset-failed", "docker.service", "docker.socket")
        units = sorted({*replaced, "docker.service"})
        if not service.systemctl("restart" if restart else "start", *units):
            service.fail("The engine does not start:")
    service.wait(module.params["timeout"])
    revived = service.revive(containers)
    module.exit_json(
        changed=restart or bool(revived) or not (enabled and active),
        restarted=restart,
        revived=revived,
    )


if __name__ == "__main__":
    main()
