"""What a machine holds, as far as labkit might change it; read on the machine by its own Python."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LOOK = """
import hashlib, json, os, subprocess

def lines(*words):
    return subprocess.run(words, capture_output=True, text=True).stdout.splitlines()

owned = set()
for place in os.scandir("/var/lib/dpkg/info"):
    if place.name.endswith((".list", ".conffiles")):
        owned.update(open(place.path).read().split("\\n"))
files = {}
for top in ("/etc", "/usr/local", "/opt", "/root", "/home", "/var/lib/labkit"):
    for folder, _, names in os.walk(top):
        for path in (os.path.join(folder, name) for name in names):
            if os.path.islink(path):
                files[path] = os.readlink(path)
            elif os.path.isfile(path):
                files[path] = hashlib.sha256(open(path, "rb").read()).hexdigest()
print(json.dumps({
    "files": files,
    "owned": sorted(set(files) & owned),
    "packages": lines("apt-mark", "showmanual"),
    "held": lines("apt-mark", "showhold"),
    "accounts": [line.split(":")[0] for line in open("/etc/passwd") if int(line.split(":")[2]) >= 1000],
    "groups": [line.split(":")[0] for line in open("/etc/group") if int(line.split(":")[2]) >= 1000],
    "enabled": [line.split()[0] for line in lines(
        "systemctl", "list-unit-files", "--state=enabled", "--no-legend", "--plain")],
}))
"""


@dataclass(frozen=True)
class Snapshot:
    """
    Files by path with what they hold, and of them those that packages own; names of the rest.

    Packages are those that somebody asked for, not what they brought along.
    """

    files: dict[str, str]
    owned: set[str]
    packages: set[str]
    held: set[str]
    accounts: set[str]
    groups: set[str]
    enabled: set[str]

    def touched(self, before: "Snapshot") -> set[str]:
        """Return the files that came, went or changed since then."""
        both = {*self.files, *before.files}
        return {path for path in both if self.files.get(path) != before.files.get(path)}


def take(ask: Callable[[str], str]) -> Snapshot:
    """Look at a machine, given a way to run a line there as root."""
    program = base64.b64encode(LOOK.encode()).decode()
    seen: dict[str, Any] = json.loads(ask(f"echo {program} | base64 -d | python3 -"))
    files = seen.pop("files")
    return Snapshot(files, **{name: set(found) for name, found in seen.items()})
