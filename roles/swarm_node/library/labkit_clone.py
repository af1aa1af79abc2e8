#!/usr/bin/python
"""Give a machine that was cloned an identity of its own."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_machine import run
from ansible.module_utils.labkit_swarm_engine import engine_info

DOCUMENTATION = r"""
module: labkit_clone
short_description: Give a machine that was cloned an identity of its own
description:
  - Makes the machine id, the engine's id and the SSH host keys anew, unless that was done on this
    very hardware before, which /var/lib/labkit/hardware tells. The engine has to be restarted then.
  - An action plugin of the same name has the new host keys known beside the inventory.
options:
  interface: {description: Whose MAC address stands for the machine., type: str, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Give a clone an identity of its own
  labkit_clone: {interface: eth0}
"""
RETURN = r"""
host_keys: {description: The new keys as C(type key)., type: list, returned: success}
"""

MARK = Path("/var/lib/labkit/hardware")
MACHINE_ID = Path("/etc/machine-id")
# A copy that older systems keep; on newer ones it is a link to the former.
DBUS_ID = Path("/var/lib/dbus/machine-id")
SSH = Path("/etc/ssh")
SECONDS_FOR_KEYS = 300
# Of engines before 23.
OLD_ENGINES_ID = Path("/etc/docker/key.json")


def hardware(interface: str) -> str:
    """Return what a hypervisor gives to no two machines."""
    places = ("/sys/class/dmi/id/product_uuid", f"/sys/class/net/{interface}/address")
    return "".join(Path(one).read_text(encoding="ascii") for one in places if Path(one).exists())


def renew_machine_id() -> None:
    """Give the system another id, in the form of machine-id(5)."""
    new = f"{uuid.uuid4().hex}\n"
    MACHINE_ID.write_text(new, encoding="ascii")
    if DBUS_ID.exists() and not DBUS_ID.is_symlink():
        DBUS_ID.write_text(new, encoding="ascii")


def forget_engine_id(data_root: str) -> None:
    """Have the engine make itself another id at its next start."""
    for place in (Path(data_root, "engine-id"), OLD_ENGINES_ID):
        place.unlink(missing_ok=True)


def renew_host_keys() -> list[str]:
    """
    Have sshd show other keys to who connects from now on, and return them.

    Raises:
        OSError: There would be none.
    """
    with tempfile.TemporaryDirectory(dir=SSH, prefix=".labkit-") as draft:
        made = Path(draft, "etc/ssh")
        made.mkdir(parents=True)
        # One of RSA's takes minutes on a machine that is emulated.
        code, said = run("ssh-keygen", "-A", "-f", draft, seconds=SECONDS_FOR_KEYS)
        if code:
            raise OSError(f"no new SSH host keys: {said}")
        # There is no moment without any: nobody could connect, to mend it.
        new = {key.name for key in made.iterdir()}
        for name in new:
            (made / name).replace(SSH / name)
    for key in SSH.glob("ssh_host_*"):
        if key.name not in new:
            key.unlink()
    run("systemctl", "try-reload-or-restart", "ssh.service")
    keys = (key.read_text(encoding="ascii").split() for key in sorted(SSH.glob("ssh_host_*.pub")))
    return [" ".join(words[:2]) for words in keys]


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={"interface": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    own = hardware(module.params["interface"])
    if MARK.exists() and MARK.read_text(encoding="ascii") == own:
        module.exit_json(changed=False, host_keys=[])
    info = engine_info()
    if (info.get("Swarm") or {}).get("LocalNodeState", "inactive") != "inactive":
        module.fail_json(
            msg="the engine is in a swarm, which would not know it by another id: docker swarm"
            " leave on it, or set swarm_node_repair_clones: false"
        )
    if module.check_mode:
        module.exit_json(changed=True, host_keys=[])
    try:
        renew_machine_id()
        forget_engine_id(info.get("DockerRootDir") or "/var/lib/docker")
        keys = renew_host_keys()
        MARK.parent.mkdir(parents=True, exist_ok=True)
        MARK.write_text(own, encoding="ascii")
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, host_keys=keys)


if __name__ == "__main__":
    main()
