#!/usr/bin/python
"""Give a machine its name, its seat's names, a UTF-8 locale, and rest from automatic upgrades."""

from __future__ import annotations

import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_routes import resolve

DOCUMENTATION = r"""
module: labkit_settle
short_description: Give a machine its name, its seat's names, a locale, and rest from upgrades
description:
  - Writes /etc/hosts (a marked block), /etc/hostname, /etc/default/locale,
    /etc/apt/apt.conf.d/99labkit-no-upgrades and /etc/cloud/cloud.cfg.d/99_labkit.cfg.
  - Files that are bind mounts are written in place.
options:
  hostname: {description: The host name., type: str, required: true}
  machines:
    description: The seat's machines in order, each as C({name, address}).
    type: list
    elements: dict
    required: true
  own_name: {description: The name of this machine in that list., type: str, required: true}
  locale: {description: Set where no UTF-8 locale is set yet., type: str, required: true}
  upgrades_held: {description: Whether apt's periodic runs do nothing., type: bool, required: true}
  cloud_init: {description: Whether cloud-init must be kept off names., type: bool, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Name the machine and its seat
  labkit_settle:
"""
RETURN = r"""
files: {description: The files that changed., type: list, returned: success}
"""

BEGIN = "# BEGIN labkit: the machines of this seat"
END = "# END labkit"
INSTEAD = "# labkit, see above: "

# The one switch that /usr/lib/apt/apt.systemd.daily asks before anything else,
# for lists, downloads and unattended upgrades alike.
HOLD = '// Written by labkit; without this file upgrades go on.\nAPT::Periodic::Enable "0";\n'
HANDS_OFF = "# Written by labkit.\npreserve_hostname: true\nmanage_etc_hosts: false\n"


def with_block(text: str, lines: list[str]) -> str:
    """
    Return /etc/hosts with the block as its head; one from an earlier run is replaced.

    A line for 127.0.1.1, which Debian's installer and images make, becomes a comment where it
    names one of the block's machines: a program that asks for all addresses would get it first.
    """
    rest = re.sub(rf"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", "", text, flags=re.DOTALL)
    names = {name for line in lines for name in line.split()[1:]}

    def without(line: re.Match[str]) -> str:
        return f"{INSTEAD}{line[0]}" if names & set(line[0].split()) else line[0]

    rest = re.sub(r"^127\.0\.1\.1\s.*$", without, rest, flags=re.MULTILINE)
    return "\n".join([BEGIN, *lines, END, rest])


def host_lines(machines: list[dict[str, str]], own_name: str, hostname: str) -> list[str]:
    """
    Return the lines of /etc/hosts: address, inventory name, vm1 … in the order given.

    Raises:
        OSError: An address is a name that this machine cannot resolve.
    """
    lines = []
    for number, machine in enumerate(machines, start=1):
        names = [machine["name"], f"vm{number}"]
        if machine["name"] == own_name and hostname not in names:
            names.insert(0, hostname)
        lines.append(f"{resolve(machine['address'])} {' '.join(names)}")
    return lines


def with_locale(text: str, locale: str) -> str:
    """Return /etc/default/locale with LANG set, or as it was if LANG is a UTF-8 locale already."""
    if re.search(r"^LANG=\S*utf-?8", text, re.IGNORECASE | re.MULTILINE):
        return text
    return re.sub(r"^LANG=.*\n?", "", text, flags=re.MULTILINE) + f"LANG={locale}\n"


def read(path: str) -> str:
    """Return the file's text, "" without one."""
    place = Path(path)
    return place.read_text(encoding="utf-8") if place.is_file() else ""


def wanted_files(params: dict[str, Any]) -> dict[str, str]:
    """Return what each file is to hold, "" for one that is not to be there."""
    lines = host_lines(params["machines"], params["own_name"], params["hostname"])
    files = {
        "/etc/hosts": with_block(read("/etc/hosts"), lines),
        "/etc/hostname": f"{params['hostname']}\n",
        "/etc/default/locale": with_locale(read("/etc/default/locale"), params["locale"]),
        "/etc/apt/apt.conf.d/99labkit-no-upgrades": HOLD if params["upgrades_held"] else "",
    }
    if params["cloud_init"]:
        files["/etc/cloud/cloud.cfg.d/99_labkit.cfg"] = HANDS_OFF
    return files


def write(module: AnsibleModule, path: str, text: str) -> None:
    """Put the text into the file, or remove the file for ""."""
    target = Path(path).resolve()
    if not text:
        target.unlink()
        return
    with tempfile.NamedTemporaryFile("w", delete=False, encoding="utf-8") as new:
        new.write(text)
    Path(new.name).chmod(0o644)
    target.parent.mkdir(parents=True, exist_ok=True)
    module.atomic_move(new.name, str(target), unsafe_writes=True)


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "hostname": {"type": "str", "required": True},
            "machines": {"type": "list", "elements": "dict", "required": True},
            "own_name": {"type": "str", "required": True},
            "locale": {"type": "str", "required": True},
            "upgrades_held": {"type": "bool", "required": True},
            "cloud_init": {"type": "bool", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        files = wanted_files(module.params)
    except OSError as error:
        module.fail_json(msg=str(error))
    changed = {path: text for path, text in files.items() if read(path) != text}
    hostname = module.params["hostname"]
    # The kernel's own name may differ where only the file was set before.
    renamed = socket.gethostname() != hostname
    if not module.check_mode:
        # The hosts file comes first: sudo wants to resolve the new name.
        for path, text in changed.items():
            write(module, path, text)
        if renamed:
            socket.sethostname(hostname)
    module.exit_json(changed=renamed or bool(changed), files=list(changed))


if __name__ == "__main__":
    main()
