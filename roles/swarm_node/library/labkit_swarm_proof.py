#!/usr/bin/python
"""Prove that a swarm could start on this machine: its ports, its forwarding, its address."""

from __future__ import annotations

import errno
import re
import socket
import subprocess
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_firewall import ports

DOCUMENTATION = r"""
module: labkit_swarm_proof
short_description: Prove that a swarm could start on this machine
description:
  - Binds each of the swarm's ports for an instant; one that is taken must be the engine's.
options:
  address: {description: The address to advertise., type: str, required: true}
  data_path_port: {description: VXLAN's UDP port., type: int, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Prove that a swarm could start here
  labkit_swarm_proof: {address: 192.0.2.11, data_path_port: 4789}
"""
RETURN = r"""
address: {description: The address to advertise., type: str, returned: success}
"""

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


def is_free(port: int, protocol: str) -> bool:
    """
    Return whether nothing listens at the port.

    Raises:
        OSError: It cannot be told.
    """
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if protocol == "tcp":
            # Closed connections that linger are in nobody's way.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def strangers(listing: str) -> set[str]:
    """
    Return the programs other than the engine that `ss -p` shows.

    A socket without a program is the kernel's own: the engine's vxlan.
    """
    return set(re.findall(r'"([^"]+)",pid=', listing)) - {"dockerd"}


def holders(port: int, protocol: str) -> set[str]:
    """Return the programs other than the engine that listen at the port."""
    command = ["ss", "-Hlnp", f"--{protocol}", f"sport = :{port}"]
    return strangers(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def wrong_ports(data_path_port: int) -> list[str]:
    """Return what is wrong with the ports, a sentence each."""
    return [
        f"port {port}/{protocol} is taken by {', '.join(sorted(names))}, which must go elsewhere"
        for protocol, numbers in ports(data_path_port).items()
        for port in numbers
        if not is_free(port, protocol) and (names := holders(port, protocol))
    ]


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "address": {"type": "str", "required": True},
            "data_path_port": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    wrong = wrong_ports(module.params["data_path_port"])
    # A dry run has not switched it on.
    if FORWARDING.read_text(encoding="utf-8").strip() != "1" and not module.check_mode:
        wrong.append("net.ipv4.ip_forward is off again: another file in /etc/sysctl.d wins")
    if wrong:
        module.fail_json(msg=f"no swarm could start here: {'; '.join(wrong)}")
    module.exit_json(changed=False, address=module.params["address"])


if __name__ == "__main__":
    main()
