"""Where the sandbox keeps what outlives it, and what it must find again without its directory."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def folder() -> Path:
    """Return labkit's cache: images of the stand-in registry, and a folder per sandbox."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "labkit"


def registry_data() -> Path:
    """Return the folder with the stand-ins' bytes, shared by all sandboxes and kept."""
    return folder() / "registry"


def sandbox_folder(sandbox: str) -> Path:
    """Return the folder of one sandbox's running registry; it goes with the sandbox."""
    return folder() / "sandboxes" / sandbox


@contextmanager
def held(name: str, wait: Callable[[], None]) -> Iterator[None]:
    """Let one process at a time go on; call `wait` once where another one is at it."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
