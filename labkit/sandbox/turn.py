"""Lets the processes of a box go on one at a time, where they would get into each other's way."""

import errno
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SECONDS_TO_ASK_AGAIN = 0.2


@contextmanager
def taken(what: str, wait: Callable[[], None]) -> Iterator[None]:
    """
    Hold the one turn there is for `what`; call `wait` once if another process has it.

    It is a name for a socket: no file to leave behind, and gone with its process, however that
    ended and whoever's it was.
    """
    with socket.socket(socket.AF_UNIX) as turn:
        if not _take(turn, what):
            wait()
            while not _take(turn, what):
                time.sleep(_SECONDS_TO_ASK_AGAIN)
        yield


@contextmanager
def tried(what: str) -> Iterator[bool]:
    """Hold the turn for `what` if nobody else does, and tell whether we have it."""
    with socket.socket(socket.AF_UNIX) as turn:
        yield _take(turn, what)


def _take(turn: socket.socket, what: str) -> bool:
    try:
        turn.bind(f"\0labkit-{what}")
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
    return True
