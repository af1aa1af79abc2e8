"""One run at a time on a class: who comes second is told who was first."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from labkit.errors import ControllerError
from labkit.logins import read_passwords
from labkit.record import latest_verdicts, locked_engine, record_folder


@contextmanager
def hold(class_directory: Path, verb: str) -> Iterator[None]:
    """
    Keep the class for this process until the context ends.

    The kernel forgets the lock (flock) with the process, however it ends; the file stays.

    Raises:
        BadInput: The class's folder cannot be written to, or a file that labkit keeps
            there is damaged; nothing was touched.
        ControllerError: Another run holds the class.
    """
    _refuse_damaged(class_directory)
    with (record_folder(class_directory) / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ControllerError(
                f"another run is at work on this class: {file.read().strip() or 'just begun'}",
                "wait until it has ended, or stop it with Ctrl-C where it runs",
            ) from None
        file.truncate(0)
        now = datetime.now().astimezone()
        file.write(f"labkit {verb}, process {os.getpid()}, since {now:%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        yield


def _refuse_damaged(class_directory: Path) -> None:
    read_passwords(class_directory / "logins.csv")
    locked_engine(class_directory)
    latest_verdicts(class_directory)
