"""The files below the attendee's home: what shows a change, and a copy to undo it with."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import Path
from typing import Any

# A bigger file is told by its size and time, and not copied.
BIG = 64 << 20
NOT_COPIED = "big"

# Mode, owner, group, and what stands for the content.
About = list[Any]


def of(attendee: str) -> str:
    """Return the attendee's home."""
    return pwd.getpwnam(attendee).pw_dir


def files(place: str) -> Iterator[tuple[str, About]]:
    """Yield each path below `place`, relative to it, and what would show a change."""
    device = os.lstat(place).st_dev
    yield ".", _about(place)
    for folder, folders, others in os.walk(place):
        folders[:] = [one for one in folders if os.lstat(f"{folder}/{one}").st_dev == device]
        for name in (*folders, *others):
            path = f"{folder}/{name}"
            yield os.path.relpath(path, place), _about(path)


def pack(place: str, archive: Path, found: Mapping[str, About]) -> None:
    """Copy what was found below `place` into an archive that only root can read."""
    archive.touch(mode=0o600)
    _tar("--create", place, archive, (one for one in found if found[one][3] != NOT_COPIED))


def differences(
    place: str, before: Mapping[str, About], now: Mapping[str, About], archive: Path
) -> Iterator[tuple[str, Callable[[], object] | None]]:
    """Yield what differs below `place`, and what puts it back; None where nothing can."""
    new = {one for one in now if one not in before or _kind(now[one]) != _kind(before[one])}
    for one in _tops(new):
        yield f"file ~/{one}", partial(remove, f"{place}/{one}")
    gone = {one for one in before if one not in now}
    for one in _tops(gone):
        lost = [path for path in gone if path == one or path.startswith(f"{one}/")]
        whole = not any(before[path][3] == NOT_COPIED for path in lost)
        again = partial(_tar, "--extract", place, archive, sorted(lost))
        yield f"file ~/{one}, removed", again if whole else None
    for one, was in before.items():
        if one not in gone and now[one] != was:
            again = partial(_tar, "--extract", place, archive, [one])
            yield f"file ~/{one}, changed", None if was[3] == NOT_COPIED else again


def _tops(paths: AbstractSet[str]) -> list[str]:
    """Return the paths that lie in none of the others."""
    return sorted(one for one in paths if str(Path(one).parent) not in paths)


def remove(path: str) -> None:
    """Remove a file, or a folder with all in it; one that is gone is fine."""
    if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - any name, bytes that are no text too
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)  # noqa: PTH108 - as above


def _about(path: str) -> About:
    info = os.lstat(path)
    kind, content = "", ""
    if stat.S_ISLNK(info.st_mode):
        content = os.readlink(path)  # noqa: PTH115 - as it is written, whatever it is
    elif stat.S_ISREG(info.st_mode) and info.st_size > BIG:
        kind, content = NOT_COPIED, f"{info.st_size} {info.st_mtime_ns}"
    elif stat.S_ISREG(info.st_mode):
        content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return [info.st_mode, info.st_uid, info.st_gid, kind, content]


def _kind(about: About) -> int:
    return stat.S_IFMT(about[0])


def _tar(verb: str, place: str, archive: Path, paths: Iterable[str]) -> None:
    done = subprocess.run(
        [
            *("tar", verb, f"--file={archive}", f"--directory={place}"),
            *("--numeric-owner", "--same-owner", "--same-permissions", "--no-recursion"),
            *("--null", "--verbatim-files-from", "--files-from=-"),
        ],
        input=b"\0".join(os.fsencode(path) for path in paths),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip())
