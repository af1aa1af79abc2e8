#!/usr/bin/python
"""Install the chosen packages of the Docker engine in one go, and hold them."""

from __future__ import annotations

import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_apt import apt_get

DOCUMENTATION = r"""
module: labkit_engine
short_description: Install the Docker engine in exactly the chosen versions
description:
  - Removes what is in the way and installs what is missing in one apt transaction, so that
    the machine is never left between two engines, and holds all packages.
  - Makes sure that C(docker-compose) is Compose v2, also where no package brings the command.
options:
  choice:
    {description: What labkit_engine_packages returned., type: dict, required: true}
  downgrade:
    {description: A package may become older., type: bool, default: false}
author: [labkit]
"""
EXAMPLES = r"""
- name: Install these packages
  labkit_engine: {choice: "{{ __docker_engine_choice }}"}
"""
RETURN = r"""
containers:
  description: Containers that ran before the packages changed (an upgrade stops them).
  type: list
  returned: success
notes: {description: What the instructor should know., type: list, returned: success}
waiting: {description: "Who keeps apt from working, else empty.", type: str, returned: success}
"""

WRAPPER = Path("/usr/local/bin/docker-compose")
WRAPPER_TEXT = (
    '#!/bin/sh\n# Made by labkit: the old command runs Compose v2.\nexec docker compose "$@"\n'
)


def apt_command(choice: dict[str, object], *, apparmor: bool) -> list[str]:
    """
    Return the words for the one run of apt-get that installs and removes.

    Without the recommended packages: they would bring a rootless engine, and needrestart,
    which restarts services on its own. Only AppArmor's parser is needed, where the kernel
    uses AppArmor: without it no container starts.
    """
    packages = choice["packages"]
    assert isinstance(packages, dict)  # noqa: S101  (for the type checker: RETURN says so)
    exact = [f"{name}={version}" for name, version in packages.items()]
    removed = [f"{name}-" for name in choice["remove"]]  # type: ignore[attr-defined]
    options = [
        "--yes", "--no-install-recommends", "--allow-change-held-packages", "--allow-downgrades",
    ]  # fmt: skip
    return ["install", *options, *exact, *removed, *(["apparmor"] if apparmor else [])]


def running_containers(module: AnsibleModule) -> list[str]:
    """Return the containers that run now; swarm starts its own again by itself."""
    command = ["docker", "ps", "--no-trunc", "--format"]
    command.append('{{.ID}} {{.Label "com.docker.swarm.task.id"}}')
    if not module.get_bin_path("docker"):
        return []
    rows = module.run_command(command)[1].splitlines()
    return [row.strip() for row in rows if len(row.split()) == 1]


def compose_is_old(module: AnsibleModule) -> bool:
    """Tell whether `docker-compose` is missing or is the Compose of before 2021."""
    path = module.get_bin_path("docker-compose", opt_dirs=[str(WRAPPER.parent)])
    if not path:
        return True
    code, version, _ = module.run_command([path, "version", "--short"])
    return bool(code != 0 or version.lstrip("v").startswith("1."))


def apply(module: AnsibleModule) -> list[str]:
    """Install and hold what is missing; return apt's notes, or fail with its own reasons."""
    notes: list[str] = []
    choice = module.params["choice"]
    if choice["install"] or choice["remove"]:
        kernel = Path("/sys/module/apparmor/parameters/enabled")
        apparmor = kernel.exists() and kernel.read_text().startswith("Y")
        held = module.run_command(["apt-mark", "showhold"])[1].split()
        done = apt_get(*apt_command(choice, apparmor=apparmor))
        notes += done.notes
        if done.wrong and held:
            # apt lets go of them before it fails, and the next upgrade would take what is here.
            module.run_command(["apt-mark", "hold", *held])
        if done.waiting:
            module.exit_json(changed=False, **done.result())
        if done.wrong:
            module.fail_json(msg=f"apt could not install it: {done.wrong}")
    if choice["hold"]:
        module.run_command(["apt-mark", "hold", *choice["hold"]], check_rc=True)
    return notes


def main() -> None:
    """Bring the packages to what was chosen; say nothing changed if they are so already."""
    module = AnsibleModule(
        argument_spec={
            "choice": {"type": "dict", "required": True},
            "downgrade": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {
        "LC_ALL": "C",
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",  # or it restarts services of its own choice, sshd too
    }
    choice = module.params["choice"]
    if choice["downgrade"] and not module.params["downgrade"]:
        module.fail_json(
            msg=f"This would make packages older: {', '.join(choice['downgrade'])}. "
            "Ask for another docker_engine_version, or set docker_engine_downgrade: true"
        )
    changed = bool(choice["install"] or choice["remove"] or choice["hold"])
    containers: list[str] = []
    notes: list[str] = []
    if changed and not module.check_mode:
        containers = running_containers(module)
        notes = apply(module)
    old = not (module.check_mode and choice["install"]) and compose_is_old(module)
    if old and not module.check_mode:
        draft = Path(f"{WRAPPER}.labkit")
        draft.write_text(WRAPPER_TEXT)
        draft.chmod(0o755)
        os.replace(draft, WRAPPER)  # noqa: PTH105  (also over a dangling link)
    module.exit_json(changed=changed or old, containers=containers, waiting="", notes=notes)


if __name__ == "__main__":
    main()
