#!/usr/bin/python
"""Give a machine its name, its seat's names, a UTF-8 locale, and rest from automatic upgrades."""

from __future__ import annotations

import re
import socket
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_routes import resolve, server_of

DOCUMENTATION = r"""
module: labkit_settle
short_description: Give a machine its name, its seat's names, a locale, and rest from upgrades
description:
  - Writes /etc/hosts (a marked block), /etc/hostname, /etc/default/locale,
    /etc/apt/apt.conf.d/99labkit-no-upgrades and /etc/cloud/cloud.cfg.d/99_labkit.cfg.
  - With a depot, /etc/apt/apt.conf.d/95labkit-depot and the program that it names; without one,
    both are removed.
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
  depot: {description: "The class's depot, as C(http://address:port).", type: str, default: ""}
  depot_proxy: {description: Where the depot is a proxy for apt., type: str, default: ""}
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
# Asked by apt itself, once for each server in each run of it, as the user _apt.
DETECTOR = "/usr/local/lib/labkit-apt-proxy"
DEPOT = f"""\
// Written by labkit; without this file apt asks its sources itself.
Acquire::http::Proxy-Auto-Detect "{DETECTOR}";
"""
# bash, since no other program that every machine has connects to a port. What apt would do
# without us is done where the depot does not answer: DIRECT would also put off a proxy that
# the instructor set. /labkit tells a depot that works from one that only takes connections,
# and from a login page.
ASK = """\
#!/bin/sh
# Written by labkit: tells apt to go through the class's depot while it answers within a second.
# apt gives the address it wants to ask: apt-transport-http(1).
case "$1" in
  https:*) exit 0 ;;
  http://localhost[:/]*|http://127.*|http://\\[::1\\]*) echo DIRECT; exit 0 ;;
esac
# shellcheck disable=SC2016
if timeout 1 bash -c '
  exec 3<>"/dev/tcp/$0/$1" &&
  printf "GET /labkit HTTP/1.0\\r\\nHost: depot\\r\\n\\r\\n" >&3 &&
  read -r protocol status rest <&3 && [ "$status" = 200 ] &&
  grep -q "\\"labkit\\": *\\"depot\\"" <&3
' "@HOST@" "@PORT@" 2>/dev/null
then
  echo "@PROXY@"
else
  eval "$(apt-config shell own Acquire::http::Proxy)"
  echo "${own:-${http_proxy:-DIRECT}}"
fi
"""
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


def detector(depot: str, proxy: str) -> str:
    """Return the program that answers apt which proxy to use, "" without a depot."""
    server = server_of(depot) if depot else None
    if server is None:
        return ""
    places = {"@HOST@": server.host, "@PORT@": str(server.port), "@PROXY@": proxy}
    return re.sub("@[A-Z]+@", lambda found: places[found[0]], ASK)


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
    # In this order: apt takes a program that is named and missing for an error.
    files[DETECTOR] = detector(params["depot"], params["depot_proxy"])
    files["/etc/apt/apt.conf.d/95labkit-depot"] = DEPOT if params["depot"] else ""
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
    target.parent.mkdir(parents=True, exist_ok=True)
    module.atomic_move(new.name, str(target), unsafe_writes=True)
    # Not before: a file that is new gets the mode that Ansible gives to new files.
    target.chmod(0o755 if text.startswith("#!") else 0o644)


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
            "depot": {"type": "str", "default": ""},
            "depot_proxy": {"type": "str", "default": ""},
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
        # What goes away goes in the other order: apt's settings before the program they name.
        kept = [path for path, text in changed.items() if text]
        for path in [*kept, *reversed([path for path in changed if path not in kept])]:
            write(module, path, changed[path])
        if renamed:
            socket.sethostname(hostname)
    module.exit_json(changed=renamed or bool(changed), files=list(changed))


if __name__ == "__main__":
    main()
