"""
The keeper's process: `python3 -m labkit.rehearsal.keeper VERB OPTIONS`, a line of JSON each.

labkit sends this package to the machine each time, and nothing else: it uses Python's own
library only, from 3.10 on. What was there stands in notes on the machine, from which the
next rehearsal puts back what one that was cut off has left.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labkit.rehearsal.keeper import home, people
from labkit.rehearsal.keeper.differences import differences
from labkit.rehearsal.keeper.engine import Refused, ask
from labkit.rehearsal.keeper.holdings import KEEP, look, pulled_by

PLACE = Path("/var/lib/labkit/rehearsal")
NOTES = PLACE / "before.json"
ROUNDS = 10


def main() -> None:
    """Do what is asked, and answer; what the machine refuses becomes the answer `error`."""
    verb, options = sys.argv[1], json.loads(sys.argv[2])
    try:
        answer = VERBS[verb](**options)
    except (Refused, OSError) as error:
        answer = {"error": str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


def begin(*, attendee: str, force: bool) -> dict[str, Any]:
    """
    Note what is there, unless somebody works here: then `busy` says who, and nothing is done.

    `earlier` is what a rehearsal that was cut off had left, as of `settle`.
    """
    people.end_own_sessions(attendee)
    earlier = {**settle(), **end()} if NOTES.exists() else {}
    busy = [] if force else list(people.busy(attendee))
    if busy:
        return {"busy": busy, "earlier": earlier}
    place = home.of(attendee)
    PLACE.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = {**look(place), "home": place, "again": {}}
    home.pack(place, PLACE / "home.tar", before["files"])
    for image, digest in pulled_by().items():
        if digest:
            before["again"][image] = digest
        else:
            ask("POST", f"/images/{image}/tag?repo={KEEP}&tag={image[-12:]}")
    NOTES.write_text(json.dumps(before))
    subprocess.run(["modprobe", "-q", "ip_vs"], check=False)
    return {"busy": [], "earlier": earlier, "mesh": Path("/proc/net/ip_vs").exists()}


def settle() -> dict[str, Any]:
    """Put back what is not as it was: `left` had been left and is gone, `lost` could not be."""
    before = json.loads(NOTES.read_text())
    first: list[str] | None = None
    failed: dict[str, str] = {}
    for pause in range(ROUNDS):
        found = list(differences(before, look(before["home"]), PLACE / "home.tar"))
        first = [what for what, _ in found] if first is None else first
        failed = {what: failed.get(what, "there is no way to make it again") for what, _ in found}
        if not any(put_back for _, put_back in found):
            break
        # A swarm takes its containers and networks away when it is left, but not at once.
        time.sleep(min(pause, 2))
        for what, put_back in found:
            try:
                put_back() if put_back else None
            except (Refused, OSError) as error:
                failed[what] = str(error)
    lost = [f"{what}: {why}" for what, why in failed.items()]
    return {"left": [what for what in first or () if what not in failed], "lost": lost}


def end() -> dict[str, Any]:
    """Remove all that `begin` made."""
    for image in ask("GET", "/images/json"):
        for name in image["RepoTags"] or ():
            if name.startswith(f"{KEEP}:"):
                ask("DELETE", f"/images/{name}?noprune=true")
    home.remove(str(PLACE))
    return {}


VERBS: Mapping[str, Callable[..., dict[str, Any]]] = {
    "begin": begin,
    "settle": settle,
    "end": end,
}

if __name__ == "__main__":
    main()
