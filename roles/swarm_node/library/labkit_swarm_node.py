#!/usr/bin/python
"""Make a machine fit for a swarm: kernel, engine, one advertise address, firewalls, MTU."""

from __future__ import annotations

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_at_boot import boot_changes
from ansible.module_utils.labkit_changes import Change, apply, file_change
from ansible.module_utils.labkit_firewall import Rule, openings
from ansible.module_utils.labkit_machine import run, source_address
from ansible.module_utils.labkit_routes import resolve
from ansible.module_utils.labkit_swarm_address import (
    VXLAN_BYTES,
    Link,
    advertised,
    data_link,
    overlay_mtu,
)
from ansible.module_utils.labkit_swarm_engine import engine_info, network_defaults, refusals
from ansible.module_utils.labkit_swarm_kernel import kernel_changes

DOCUMENTATION = r"""
module: labkit_swarm_node
short_description: Make a machine fit for a swarm
description:
  - Writes /etc/modules-load.d/labkit.conf (modules that the kernel does not have built in) and
    /etc/sysctl.d/90-labkit.conf, and puts both into effect.
  - Lets the machines of the seat in at the swarm's ports wherever a firewall is active (ufw,
    firewalld, nftables, iptables), and puts off the checksum offload of VMware's vmxnet3, with
    /etc/labkit/swarm-at-boot and labkit-swarm.service for what a boot would undo.
  - Keeps what was chosen in /etc/labkit/swarm.json.
options:
  own_name: {description: This machine's name in the list., type: str, required: true}
  machines:
    description: The seat's machines, each as C({name, address}).
    type: list
    elements: dict
    required: true
  advertise_address: {description: Empty to find it out., type: str, required: true}
  data_path_address: {description: Empty for the same., type: str, required: true}
  data_path_port: {description: VXLAN's UDP port., type: int, required: true}
  overlay_mtu: {description: 0 to take it from the link., type: int, required: true}
  state: {description: What the machine is to be in the seat's swarm., type: str, required: true}
  mesh: {description: Whether the routing mesh must work., type: bool, required: true}
  own_addresses:
    description: This machine's own, each as C({interface, address}).
    type: list
    elements: dict
    required: true
  features: {description: Which kernel features work., type: dict, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Make the machine fit for a swarm
  labkit_swarm_node:
"""
RETURN = r"""
address: {description: The address to advertise., type: str, returned: success}
data_path_address: {description: Where overlay networks leave., type: str, returned: success}
daemon: {description: What daemon.json is to be told., type: dict, returned: success}
did: {description: What was altered., type: list, returned: success}
"""

CHOSEN = "/etc/labkit/swarm.json"
# Its offload of checksums damages what is wrapped in VXLAN (moby #41775, fedora-coreos #1372).
FAULTY_DRIVER = "vmxnet3"


def choose(params: dict[str, Any], addresses: dict[str, str]) -> tuple[dict[str, Any], Link]:
    """
    Return what is chosen for a swarm on this machine, and the link of its data path.

    Raises:
        ValueError: It is not clear, or would not work; the message says what to set.
    """
    own = [each["address"] for each in params["own_addresses"]]
    address = advertised(params, addresses, own)
    data_path = params["data_path_address"] or address
    link = data_link(data_path, address, params["own_addresses"])
    chosen = {
        "address": address,
        "data_path_address": data_path,
        "data_path_port": params["data_path_port"],
        "overlay_mtu": overlay_mtu(params["overlay_mtu"], link),
        "state": params["state"],
    }
    return chosen, link


def offload_rules(link: Link) -> list[Rule]:
    """
    Return what puts a faulty offload of checksums off.

    Raises:
        ValueError: The tool for it is missing.
    """
    if link.driver != FAULTY_DRIVER:
        return []
    if run("ethtool", "--version")[0]:
        raise ValueError(
            f"{link.interface} is a {FAULTY_DRIVER}, whose checksum offload damages overlay"
            " networks, and putting it off needs ethtool: add ethtool to base_packages"
        )
    feature = "tx-checksum-ip-generic"
    return [
        Rule(
            f"checksum offload put off at {link.interface}",
            f"ethtool -k {link.interface} | grep -q '^\\s*{feature}: off'",
            f"ethtool -K {link.interface} {feature} off",
        )
    ]


def mates_of(params: dict[str, Any], addresses: dict[str, str]) -> dict[str, str]:
    """Return the mates' addresses, each with the interface over which it is reached."""
    interfaces = {each["address"]: each["interface"] for each in params["own_addresses"]}
    return {
        mate: interfaces.get(source_address(mate), "")
        for name, mate in addresses.items()
        if name != params["own_name"]
    }


def prepare(module: AnsibleModule, info: dict[str, Any]) -> None:
    """Choose, alter what has to be altered, and answer."""
    params = module.params
    did: list[str] = []
    try:
        addresses = {each["name"]: resolve(each["address"]) for each in params["machines"]}
        chosen, link = choose(params, addresses)
        daemon = network_defaults(chosen["overlay_mtu"] + VXLAN_BYTES, info)
        rules = openings(mates_of(params, addresses), params["data_path_port"])
        changes: list[Change] = [
            *kernel_changes(mesh=params["mesh"]),
            *boot_changes([*rules, *offload_rules(link)]),
            *file_change(CHOSEN, json.dumps(chosen, indent=1) + "\n"),
        ]
        for change in changes:
            did.append(change.what)
            if not module.check_mode:
                apply(change)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error), did=did)
    module.exit_json(changed=bool(did), did=did, daemon=daemon, **chosen)


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "own_name": {"type": "str", "required": True},
            "machines": {"type": "list", "elements": "dict", "required": True},
            "advertise_address": {"type": "str", "required": True},
            "data_path_address": {"type": "str", "required": True},
            "data_path_port": {"type": "int", "required": True},
            "overlay_mtu": {"type": "int", "required": True},
            "state": {"type": "str", "required": True},
            "mesh": {"type": "bool", "required": True},
            "own_addresses": {"type": "list", "elements": "dict", "required": True},
            "features": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    info = engine_info()
    wrong = refusals(info)
    if module.params["mesh"] and not module.params["features"].get("ipvs"):
        wrong.append(
            "no IPVS in this kernel, so a swarm's routing mesh cannot work;"
            " use another kernel, or set swarm_node_mesh: false"
        )
    if wrong:
        module.fail_json(msg="\n".join(wrong))
    prepare(module, info)


if __name__ == "__main__":
    main()
