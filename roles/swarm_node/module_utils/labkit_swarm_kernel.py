"""The kernel modules and sysctls of a swarm, now and at every boot."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.labkit_changes import Change, file_change
from ansible.module_utils.labkit_machine import run

SYSCTLS = {"net.ipv4.ip_forward": "1"}
HEAD = "# Written by labkit: what a swarm needs.\n"
MODULES = ("br_netfilter", "vxlan", "ip_vs")


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
