"""What is not as it was, and how to put each of it back."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from labkit.rehearsal.keeper import home
from labkit.rehearsal.keeper.engine import Refused, ask

# What differs, and what puts it back; None where nothing can.
Difference = tuple[str, Callable[[], object] | None]
Holdings = Mapping[str, Any]


def differences(before: Holdings, now: Holdings, archive: Path) -> Iterator[Difference]:
    """Yield what differs, in the order in which it can be put back."""
    if now["swarm"] != before["swarm"]:
        leave = partial(ask, "POST", "/swarm/leave?force=true")
        yield f"swarm: {now['swarm']}", leave if before["swarm"] == "inactive" else None
    yield from _containers(before["containers"], now["containers"])
    for kind, word in (("networks", "network"), ("volumes", "volume")):
        for one, name in now[kind].items():
            if one not in before[kind]:
                yield f"{word} {name}", partial(ask, "DELETE", f"/{kind}/{one}")
        for one, name in before[kind].items():
            if one not in now[kind]:
                yield f"{word} {name}, removed", None
    yield from _images(before, now)
    if gone := set(before["cache"]) - set(now["cache"]):
        yield f"build cache: {len(gone)} of {len(before['cache'])} records, removed", None
    yield from home.differences(before["home"], before["files"], now["files"], archive)


def _containers(before: Holdings, now: Holdings) -> Iterator[Difference]:
    for one, (name, _) in now.items():
        if one not in before:
            yield f"container {name}", partial(ask, "DELETE", f"/containers/{one}?force=1&v=1")
    for one, (name, state) in before.items():
        ran, runs = state == "running", one in now and now[one][1] == "running"
        if one not in now:
            yield f"container {name}, removed", None
        elif ran is not runs:
            verb = "start" if ran else "stop"
            word = now[one][1]
            yield f"container {name}, {word}", partial(ask, "POST", f"/containers/{one}/{verb}")


def _images(before: Holdings, now: Holdings) -> Iterator[Difference]:
    for name, image in before["tags"].items():
        if now["tags"].get(name) != image:
            word = "another one" if name in now["tags"] else "removed"
            yield f"image {name}, {word}", partial(_name_again, image, name, before["again"])
    # An image that lost its name to another one gets it back above.
    known = {*before["tags"], *before["tags"].values(), *before["untagged"]}
    for one in (*now["tags"], *now["untagged"]):
        if one not in known:
            path = f"/images/{quote(one, safe='/:')}?force=true"
            yield f"image {one}", partial(ask, "DELETE", path)


def _name_again(image: str, name: str, again: Mapping[str, str]) -> None:
    """Give an image its name back; one that is gone is pulled by its digest first."""
    repository, _, tag = name.rpartition(":")
    try:
        ask("GET", f"/images/{image}/json")
    except Refused:
        if image not in again:
            raise
        pulled = subprocess.run(
            ["docker", "pull", "--quiet", again[image]], capture_output=True, text=True, check=False
        )
        if pulled.returncode:
            raise Refused(pulled.stderr.strip()) from None
    ask("POST", f"/images/{image}/tag?repo={quote(repository, safe='')}&tag={quote(tag)}")
