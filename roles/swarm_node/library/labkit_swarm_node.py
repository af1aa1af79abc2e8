#!/usr/bin/python
"""Make a machine fit for a swarm: kernel modules and sysctls, ports, one advertise address."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_firewall import Change, openings
from ansible.module_utils.labkit_machine import run, source_address
from ansible.module_utils.labkit_routes import resolve

DOCUMENTATION = r"""
module: labkit_swarm_node
short_description: Make a machine fit for a swarm
description:
  - Writes /etc/modules-load.d/labkit.conf (modules that the kernel does not have built in) and
    /etc/sysctl.d/90-labkit.conf, and puts both into effect.
  - Where ufw is active, or the INPUT chain refuses what it does not know, lets the machines of
    the seat in at the swarm's ports; in /etc/iptables/rules.v4 too, where that file is.
options:
  own_name: {description: This machine's name in the list., type: str, required: true}
  machines:
    description: The seat's machines, each as C({name, address}).
    type: list
    elements: dict
    required: true
  advertise_address: {description: Empty to find it out., type: str, required: true}
  mesh: {description: Whether the routing mesh must work., type: bool, required: true}
  own_addresses: {description: This machine's own., type: list, elements: str, required: true}
  features: {description: Which kernel features work., type: dict, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Make the machine fit for a swarm
  labkit_swarm_node:
"""
RETURN = r"""
address: {description: The address to advertise., type: str, returned: success}
did: {description: What was altered., type: list, returned: success}
"""

SYSCTLS = {"net.ipv4.ip_forward": "1"}
HEAD = "# Written by labkit: what a swarm needs.\n"
MODULES = ("br_netfilter", "vxlan", "ip_vs")


def choose_address(asked: str, listed: str, own: list[str], towards_mates: list[str]) -> str:
    """
    Return the address to advertise, from the most said to the least.

    Raises:
        ValueError: Several would do, or none; the message names them and the way out.
    """
    for address in (asked, listed if listed in own else ""):
        if address:
            return address
    candidates = sorted(set(towards_mates) - {""})
    if len(candidates) == 1:
        return candidates[0]
    seen = f"its mates are reached from {', '.join(candidates) or 'no address at all'}"
    raise ValueError(
        f"no clear address to advertise in a swarm: the seat's list says {listed or 'nothing'},"
        f" the machine has {', '.join(own) or 'none'}, and {seen};"
        " set swarm_node_advertise_address for this machine"
    )


def advertised(params: dict[str, Any], addresses: dict[str, str]) -> str:
    """
    Return the address to advertise, given the seat's addresses by name.

    Raises:
        ValueError: See choose_address.
    """
    listed = addresses.get(params["own_name"], "")
    mates = [address for name, address in addresses.items() if name != params["own_name"]]
    # A seat of one has no mate to ask the way to: the default route is as good.
    towards = [source_address(mate) for mate in mates or ["192.0.2.1"]]
    return choose_address(params["advertise_address"], listed, params["own_addresses"], towards)


def file_change(path: str, text: str) -> list[Change]:
    """Return what it takes for the file to hold the text, nothing if it does already."""
    place = Path(path)
    if (place.read_text(encoding="utf-8") if place.is_file() else "") == text:
        return []
    return [Change(f"write {path}", path=path, text=text)]


def kernel_changes(*, mesh: bool) -> list[Change]:
    """Return what it takes to have modules and sysctls now and at every boot."""
    # What is built in, or the business of a container's box, needs no loading;
    # and a name that cannot be loaded would make systemd-modules-load fail.
    names = [name for name in MODULES if name != "ip_vs" or mesh]
    loadable = [name for name in names if run("modinfo", "-F", "filename", name)[1][:1] == "/"]
    text = HEAD + "".join(f"{name}\n" for name in loadable) if loadable else ""
    changes = file_change("/etc/modules-load.d/labkit.conf", text)
    for name in loadable:
        if not Path("/sys/module", name).is_dir():
            changes.append(Change(f"load the module {name}", command=("modprobe", name)))
    text = HEAD + "".join(f"{key} = {value}\n" for key, value in SYSCTLS.items())
    changes += file_change("/etc/sysctl.d/90-labkit.conf", text)
    for key, value in SYSCTLS.items():
        place = Path("/proc/sys", key.replace(".", "/"))
        if place.read_text(encoding="utf-8").strip() != value:
            changes.append(Change(f"set {key}", path=str(place), text=value))
    return changes


def apply(change: Change) -> None:
    """
    Alter the machine.

    Raises:
        OSError: It could not be done; the message says what, and the answer.
    """
    if change.path:
        Path(change.path).parent.mkdir(parents=True, exist_ok=True)
        Path(change.path).write_text(change.text, encoding="utf-8")
        return
    code, said = run(*change.command)
    if code:
        raise OSError(f"cannot {change.what}: {said}")


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "own_name": {"type": "str", "required": True},
            "machines": {"type": "list", "elements": "dict", "required": True},
            "advertise_address": {"type": "str", "required": True},
            "mesh": {"type": "bool", "required": True},
            "own_addresses": {"type": "list", "elements": "str", "required": True},
            "features": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["mesh"] and not params["features"].get("ipvs"):
        module.fail_json(
            msg="no IPVS in this kernel, so a swarm's routing mesh cannot work;"
            " use another kernel, or set swarm_node_mesh: false"
        )
    did: list[str] = []
    try:
        addresses = {each["name"]: resolve(each["address"]) for each in params["machines"]}
        address = advertised(params, addresses)
        mates = [addresses[name] for name in addresses if name != params["own_name"]]
        for change in [*kernel_changes(mesh=params["mesh"]), *openings(mates)]:
            did.append(change.what)
            if not module.check_mode:
                apply(change)
    except (OSError, ValueError) as error:
        module.fail_json(msg=str(error), did=did)
    module.exit_json(changed=bool(did), did=did, address=address)


if __name__ == "__main__":
    main()
