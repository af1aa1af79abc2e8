"""What labkit has the depot do: its stock's program is sent there, told, and listened to."""

import getpass
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labkit import paths
from labkit.classroom import Class, Depot
from labkit.errors import BadInput, ControllerError, LabkitError
from labkit.events import Kind
from labkit.hints import hint
from labkit.post import Lost, Post

# It says something every half second.
PATIENCE = 60
# Debian's name for the user of its docker-registry, whom the store belongs to.
OWNER = "docker-registry"
# What serves the caches of packages and modules.
SERVICE = "labkit-depot-nginx"
# The program that finds these modules is sent in front of them; all of it is one text, since
# nothing of labkit is to be written to a depot's disk.
FINDER = """
import importlib.abc, importlib.util, runpy, sys
class Sent(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
    def get_source(self, name):
        return SOURCES[name]
    def is_package(self, name):
        return any(one.startswith(name + ".") for one in SOURCES)
sys.meta_path.insert(0, Sent())
runpy.run_module("labkit.depot.stock.__main__", run_name="__main__")
"""


def require_depot(known: Class) -> Depot:
    """
    Return the class's depot.

    Raises:
        BadInput: The inventory has none.
    """
    if known.depot is None:
        raise BadInput(
            "this class has no depot",
            "name its machine in a group [depot] of the inventory, as: depot ansible_host=…",
        )
    return known.depot


def look(depot: Depot, scratch: Path, *, verify: bool = False) -> Mapping[str, Any]:
    """
    Return what there is of the depot; see `labkit.depot.stock.looking`.

    Of a machine that is no depot it says `there`: false, and its `services`.

    Raises:
        LabkitError: The depot cannot be reached.
    """
    return carry_out(depot, scratch, {"verb": "look", "verify": verify}, lambda _said: None)


def carry_out(  # noqa: PLR0913 - what streams is named
    depot: Depot,
    scratch: Path,
    task: Mapping[str, Any],
    tell: Callable[[Mapping[str, Any]], None],
    *,
    feed: Iterable[bytes] | None = None,
    take: Callable[[bytes], object] | None = None,
) -> Mapping[str, Any]:
    """
    Return what the depot answers to a task (`verb`, and what that wants).

    `tell` hears of what goes on, `feed` is what it reads, `take` gets what it gives.

    Raises:
        LabkitError: It could not; the depot's own words.
        ControllerError: The depot is not reached.
    """
    post = Post(depot.machine, scratch, program(), local=depot.local)
    feeding = _Feeding(post, feed or ())
    try:
        post.say({**_standing(depot), **task})
        if feed is not None:
            feeding.start()
        return _listen(post, tell, take)
    except Lost as why:
        # Whose feed ends early is only told what follows from that.
        raise feeding.error or _lost(depot, why) from None
    except LabkitError as why:
        raise feeding.error or why from None
    finally:
        post.hang_up()
        if feeding.ident:
            feeding.join()
        post.close()


@contextmanager
def holding(depot: Depot, scratch: Path) -> Iterator[None]:
    """
    Have the depot's turn for a while: what it holds is changed by nobody else.

    Of one that is out of reach nobody can say, and nobody seeds it either.

    Raises:
        LabkitError: It is being filled, and by whom.
    """
    post = Post(depot.machine, scratch, program(), local=depot.local)
    try:
        post.say({**_standing(depot), "verb": "hold"})
        with suppress(Lost):
            while "held" not in (said := post.hear(time.monotonic() + PATIENCE)):
                if "failed" in said:
                    raise LabkitError(said["failed"], said["todo"])
        yield
    finally:
        post.close()


class _Feeding(threading.Thread):
    """Gives the depot what it is to read; `error` is why that came to an end."""

    def __init__(self, post: Post, feed: Iterable[bytes]) -> None:
        super().__init__(daemon=True)
        self._post, self._feed = post, feed
        self.error: LabkitError | None = None

    def run(self) -> None:
        try:
            for chunk in self._feed:
                if not self._post.send(chunk):
                    return
        except OSError as error:
            what = f"{error.filename or 'the bundle'} cannot be read any further: {error.strerror}"
            self.error = LabkitError(what, "copy it from where it was made, then run this again")
        # Without an end the depot would wait for more.
        self._post.end()


def program() -> bytes:
    """Return the depot's part as one Python program, and nothing else of labkit."""
    root = Path(paths.__file__).parent
    files = [root / "errors.py", *sorted((root / "depot/stock").glob("*.py"))]
    sources = {"labkit": "", "labkit.depot": ""}
    for file in files:
        name = ".".join(file.relative_to(root.parent).with_suffix("").parts)
        sources[name.removesuffix(".__init__")] = file.read_text(encoding="utf-8")
    return f"SOURCES = {sources!r}\n{FINDER}".encode()


def _standing(depot: Depot) -> dict[str, Any]:
    inputs = depot.machine.inputs
    return {
        "directory": inputs["depot_directory"],
        "reserve_mb": inputs["depot_reserve_mb"],
        "owner": OWNER,
        "restart": SERVICE,
        "who": f"labkit of {getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}",
    }


def _listen(
    post: Post,
    tell: Callable[[Mapping[str, Any]], None],
    take: Callable[[bytes], object] | None,
) -> Mapping[str, Any]:
    while True:
        said = post.hear(time.monotonic() + PATIENCE)
        if "piece" in said:
            data = post.read(said["piece"], time.monotonic() + PATIENCE)
            if take:
                take(data)
        elif "result" in said:
            result: Mapping[str, Any] = said["result"]
            return result
        elif "failed" in said:
            raise LabkitError(said["failed"], said["todo"])
        else:
            tell(said)


def _lost(depot: Depot, why: Lost) -> LabkitError:
    kind = Kind.UNREACHABLE if why.away else Kind.FAILED
    todo = hint(str(why), kind) or "see that it can be reached, then run the same again"
    return ControllerError(f"the depot {depot.machine.name} is lost: {why}", todo)
