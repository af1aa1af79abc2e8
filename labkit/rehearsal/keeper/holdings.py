"""What there is on a machine that a chapter might change."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.rehearsal.keeper import home
from labkit.rehearsal.keeper.engine import ask

# Of the role `images`: what was pulled, and by which digest.
PULLED = Path("/var/lib/labkit/images.json")
# The name that keeps an image which a chapter might remove, and nobody could pull again.
KEEP = "labkit-keep"
# What labkit's own checks start, now or at any time, is nobody else's business.
CHECK = "labkit.check"


def look(place: str) -> dict[str, Any]:
    """Return all that is compared: what the engine has, and the files below the home `place`."""
    images = ask("GET", "/images/json")
    caches = ask("GET", "/system/df?type=build-cache").get("BuildCache") or []
    return {
        "swarm": ask("GET", "/info")["Swarm"]["LocalNodeState"],
        "containers": {
            one["Id"]: [one["Names"][0].lstrip("/"), one["State"]]
            for one in ask("GET", "/containers/json?all=true")
            if CHECK not in one["Labels"]
        },
        # Not by their numbers: an engine that was restarted makes its own networks anew.
        "networks": {one["Name"]: one["Name"] for one in ask("GET", "/networks")},
        "volumes": {one["Name"]: one["Name"] for one in ask("GET", "/volumes")["Volumes"] or ()},
        "tags": {name: one["Id"] for one in images for name in _names(one)},
        "untagged": [one["Id"] for one in images if not _names(one)],
        # What a RUN made; the rest of the cache is made anew in no time, and comes and goes. A
        # record that an image held gets another id when that image is removed.
        "cache": sorted(
            {one["Description"] for one in caches if "from exec" in one["Description"]}
        ),
        "files": dict(home.files(place)),
    }


def pulled_by() -> dict[str, str]:
    """Return for each image by what it can be pulled again, as hello-world@sha256:…, or ""."""
    record = json.loads(PULLED.read_text()) if PULLED.exists() else {}
    known = {one["digest"] for one in record.values()}
    return {
        one["Id"]: next((name for name in one["RepoDigests"] or () if _digest(name) in known), "")
        for one in ask("GET", "/images/json")
    }


def _names(image: Mapping[str, Any]) -> list[str]:
    own = ("<none>", f"{KEEP}:")
    return [name for name in image["RepoTags"] or () if not name.startswith(own)]


def _digest(name: str) -> str:
    return name.partition("@")[2]
