"""Runs the command line as an instructor does: a real process, in a class folder of its own."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

# Root may do all, and so could test nothing that is forbidden; without these it is like others.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


class Labkit:
    """The command line off any terminal; `folder` is where it is typed, and lies the class."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "class"
        self.folder.mkdir()
        # Short, since labkit takes no other for its sockets.
        self.scratch = Path(tempfile.mkdtemp(prefix="lk-"))

    def __call__(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, *arguments: str, python: Sequence[str] = ()) -> list[str]:
        first = UNPRIVILEGED if os.getuid() == 0 else ()
        return [*first, sys.executable, *python, "-m", "labkit", *arguments]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, "TMPDIR": str(self.scratch), **variables}

    def kept(self) -> dict[str, bytes | None]:
        """Return what lies in the class's folder, so that it can be compared with later."""
        return {str(one.relative_to(self.folder)): _content(one) for one in self.folder.rglob("*")}


def _content(file: Path) -> bytes | None:
    readable = file.is_file() and file.stat().st_mode & 0o400
    return file.read_bytes() if readable else None
