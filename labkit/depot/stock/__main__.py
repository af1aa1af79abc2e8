"""What root runs on the depot, told by one line of JSON; see `labkit.depot.orders`."""

import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.depot.stock.bundle import pack
from labkit.depot.stock.loading import Loading
from labkit.depot.stock.looking import look
from labkit.depot.stock.seeding import Seeding
from labkit.depot.stock.store import Store
from labkit.depot.stock.told import Teller
from labkit.depot.stock.turn import turn
from labkit.errors import LabkitError


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
    directory = Path(task["directory"])
    if not directory.is_dir():
        raise LabkitError(f"there is no {directory} on the depot", "labkit depot up comes first")
    store = Store(directory / "store", task["owner"])
    store.make(store.root)
    if task["verb"] != "load":
        # What was sent ends with who sent it: at once, whatever it is at.
        threading.Thread(target=_watch, daemon=True).start()
    if task["verb"] == "look":
        return look(task, store, teller)
    with turn(directory, task["who"]):
        if task["verb"] == "seed":
            return Seeding(task, store, teller).run()
        if task["verb"] == "load":
            return Loading(task, store, teller, sys.stdin.buffer).run()
        return pack(task, store, teller)


def _watch() -> None:
    # Not through Python's buffer, whose lock would be held when Python ends.
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
