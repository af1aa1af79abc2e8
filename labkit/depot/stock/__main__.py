"""What root runs on the depot, told by one line of JSON; see `labkit.depot.orders`."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from labkit.depot.stock.account import states
from labkit.depot.stock.bundle import pack
from labkit.depot.stock.loading import Loading
from labkit.depot.stock.looking import look
from labkit.depot.stock.seeding import Seeding
from labkit.depot.stock.store import Store
from labkit.depot.stock.told import Teller
from labkit.depot.stock.turn import turn
from labkit.errors import LabkitError

# By it the role knows a depot's folder.
MARK = ".labkit-depot"


def main() -> None:
    """Do what is asked, and say how it went: `result`, or `failed` and `todo`."""
    os.umask(0o022)
    task = json.loads(sys.stdin.buffer.readline())
    with Teller() as teller:
        try:
            teller.say(result=_do(task, teller))
        except LabkitError as error:
            teller.say(failed=error.message, todo=error.hint or "")


def _do(task: Mapping[str, Any], teller: Teller) -> dict[str, Any]:
    verb, directory = task["verb"], Path(task["directory"])
    if verb == "hold":
        return _hold(directory, task["who"], teller)
    if not directory.is_dir() and verb == "look":
        return {"there": False, "services": states()}
    if not directory.is_dir():
        raise LabkitError(f"there is no {directory} on the depot", "labkit depot up comes first")
    store = Store(directory / "store", task["owner"])
    if verb != "load":
        # What was sent ends with who sent it: at once, whatever it is at.
        threading.Thread(target=_watch, daemon=True).start()
    if verb == "look":
        store.make(store.root)
        return look(task, store, teller)
    with turn(directory, task["who"]):
        store.make(store.root)
        if verb == "seed":
            return Seeding(task, store, teller).run()
        if verb == "load":
            return Loading(task, store, teller, sys.stdin.buffer).run()
        return pack(task, store, teller)


def _hold(directory: Path, who: str, teller: Teller) -> dict[str, Any]:
    """Keep everybody else from changing what there is, until whoever sent this ends."""
    # Another folder is not ours to write to, and nobody seeds into it.
    with turn(directory, who) if (directory / MARK).exists() else nullcontext():
        teller.say(held=True)
        _watch()
    return {}


def _watch() -> None:
    # Not through Python's buffer, whose lock would be held when Python ends.
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
