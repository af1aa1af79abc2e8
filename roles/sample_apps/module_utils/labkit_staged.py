"""Files as they were staged: in the record, which only root can write, and in the owner's home."""

from __future__ import annotations

import pwd
import shutil
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.labkit_account import acting_as

RECORD = "/var/lib/labkit/sample_apps"


class File(NamedTuple):
    """What matters of a file."""

    content: bytes
    executable: bool


Files = dict[str, File]


def read(path: Path) -> File | None:
    """Return a file, None if there is none, and no content for what is no plain file."""
    if not path.exists() and not path.is_symlink():
        return None
    if path.is_symlink() or not path.is_file():
        return File(b"", executable=False)
    return File(path.read_bytes(), bool(path.stat().st_mode & 0o100))


def read_all(folder: Path) -> Files:
    """Return all files under a folder by their path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file for path in paths if (file := read(path))}


def put(path: Path, file: File) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.labkit")
    draft.write_bytes(file.content)
    draft.chmod(0o755 if file.executable else 0o644)
    draft.replace(path)


def remember(record: Path, files: Files) -> None:
    """Make the record hold exactly these files."""
    if read_all(record) == files:
        return
    draft = record.with_name(f"{record.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o755, parents=True)
    for path, file in files.items():
        put(draft / path, file)
    shutil.rmtree(record, ignore_errors=True)
    draft.replace(record)


def registry_line(depot: str) -> bytes:
    """Return the line of an .npmrc that names the depot."""
    return f"registry={depot}/npm/\n".encode()


def without_depot(record: Path, owner: str, depot: str) -> list[str]:
    """
    Take the depot's line out of each .npmrc, as if it had been staged without; return their paths.

    In the home only where the file is as it was staged: for the next run, too, it is the
    attendee's work if it differs from the record, and ours if it does not.
    """
    line, before = registry_line(depot), read_all(record)
    after: Files = {}
    for path, file in before.items():
        lines = file.content.splitlines(keepends=True)
        if path.rpartition("/")[2] == ".npmrc" and line in lines:
            kept = [one for one in lines if one != line]
            after[path] = file._replace(content=b"".join(kept))
    if after:
        account = pwd.getpwnam(owner)
        with acting_as(account):
            for path, file in after.items():
                if read(Path(account.pw_dir) / path) == before[path]:
                    _settle(Path(account.pw_dir) / path, file)
    for path, file in after.items():
        _settle(record / path, file)
    return sorted(after)


def _settle(path: Path, file: File) -> None:
    if file.content:
        put(path, file)
    else:
        path.unlink()
