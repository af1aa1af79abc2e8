"""A run's own temporary folder: secrets, control sockets and Ansible's working files."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "labkit-run-"
# What a socket's path (107 bytes) leaves beside our folder's name (28 at most), and the 58 that
# ssh appends: a hash, and some letters more while it opens the socket.
LONGEST_ROOT = 20


@contextmanager
def run_directory() -> Iterator[Path]:
    """
    Make a folder that only this user can read, and remove it with all in it at the end.

    The path is short, wherever TMPDIR points, since that of a Unix socket has little room.
    The name carries the process id: what a killed run left behind is swept by the next one.
    """
    _sweep()
    path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=_root()))
    try:
        yield path
    finally:
        close_connections(path)
        shutil.rmtree(path, ignore_errors=True)


def secret_file(directory: Path, name: str, text: str) -> Path:
    """Write a file that only this user can read, and return its path."""
    path = directory / name
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def close_connections(directory: Path) -> None:
    """End the ssh processes that keep connections open for this run."""
    closing = [
        subprocess.Popen(
            ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "labkit"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for socket in directory.iterdir()
        if socket.is_socket()
    ]
    for process in closing:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=2)


def _sweep() -> None:
    for path in _root().glob(f"{PREFIX}*"):
        owner = path.name.removeprefix(PREFIX).split("-")[0]
        mine = path.stat().st_uid == os.getuid()
        if mine and owner.isdigit() and not Path(f"/proc/{owner}").exists():
            close_connections(path)
            shutil.rmtree(path, ignore_errors=True)


def _root() -> Path:
    chosen = Path(tempfile.gettempdir())
    return chosen if len(os.fsencode(chosen)) <= LONGEST_ROOT else Path("/tmp")  # noqa: S108 - a folder of mode 0700 is made in it
