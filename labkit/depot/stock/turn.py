"""One at a time changes what a depot holds: who comes second is told who was first."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from labkit.errors import LabkitError

# One that was just interrupted needs a moment to end.
MOMENT = 3.0


@contextmanager
def turn(directory: Path, who: str) -> Iterator[None]:
    """
    Keep the depot for this process; the kernel forgets it with the process.

    Raises:
        LabkitError: Somebody else has it, and who; or it was taken down in the meantime.
    """
    end = time.monotonic() + MOMENT
    with (directory / "turn").open("a+", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    file.seek(0)
                    raise LabkitError(
                        f"the depot is being filled already: {file.read().strip()}",
                        "wait until that has ended, or stop it with Ctrl-C where it runs",
                    ) from None
                time.sleep(0.2)
        if not _is_still_there(directory, file):
            raise LabkitError("the depot has just been taken down", "labkit depot up comes first")
        file.truncate(0)
        file.write(f"{who}, since {time.strftime('%Y-%m-%d %H:%M:%S %z')}\n")
        file.flush()
        yield


def _is_still_there(directory: Path, file: IO[str]) -> bool:
    try:
        return os.path.samestat((directory / "turn").stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
