"""
A bundle: all that a depot holds, in one tar file.

Its first member, `labkit-bundle.json`, says what is in it; each further one has its sha256 in its
own header, and the last, `end.json`, counts and hashes them all, so that nothing can lack or be
another's. It is a defence against accidents, not against who makes a bundle of his own.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from labkit.depot.stock.looking import entered
from labkit.depot.stock.names import read_name
from labkit.depot.stock.store import CHUNK, Store
from labkit.depot.stock.told import Teller
from labkit.errors import LabkitError

VERSION = 1
FIRST, LAST = "labkit-bundle.json", "end.json"
BLOBS = "blobs/sha256/"
# nginx's cache of packages and modules, as the role depot lays it out.
CACHE = "packages/kept"
KEY = "LABKIT.sha256"
# A file of a cache may be written to while it is read; one that is small is read at once.
SMALL = 64 * CHUNK
MEND = "mend it first: labkit depot seed --verify"


class Member(NamedTuple):
    """One file of a bundle: its name there, its size, its sha256."""

    name: str
    size: int
    sha256: str


class Roll:
    """The running count and hash of all members."""

    def __init__(self) -> None:
        self.members, self._hash = 0, hashlib.sha256()

    def add(self, member: Member) -> None:
        """Note one more."""
        self.members += 1
        self._hash.update(f"{member.name} {member.size} {member.sha256}\n".encode())

    def close(self) -> dict[str, Any]:
        """Return what the last member says."""
        return {"members": self.members, "sha256": self._hash.hexdigest()}


class _Pipe(io.RawIOBase):
    """Hands on what tar writes, in pieces that are worth a line each."""

    def __init__(self, teller: Teller) -> None:
        self._teller = teller

    def writable(self) -> bool:
        """Say yes."""
        return True

    def write(self, data: Any) -> int:
        """Hand it on."""
        self._teller.give(bytes(data))
        return len(data)


class _Hashed:
    """A file that is hashed as it is read."""

    def __init__(self, data: BinaryIO) -> None:
        self._data, self._hash = data, hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The hash of what was read."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        chunk = self._data.read(size)
        self._hash.update(chunk)
        return chunk


def pack(task: Mapping[str, Any], store: Store, teller: Teller) -> dict[str, Any]:
    """
    Give the bundle, with the `lock` that the task has; return how many files and bytes it is.

    Raises:
        LabkitError: The store has not all that it names, or that the lock does.
    """
    directory = Path(task["directory"])
    blobs = list(store.blobs())
    _refuse_lacking(task["lock"], entered(store, {blob.digest: blob.size for blob in blobs}))
    files = list(_files(directory / CACHE))
    teller.total = sum(one.size for one in blobs) + sum(file.stat().st_size for file in files)
    first = {
        "version": VERSION,
        "lock": task["lock"],
        "blobs": [one._asdict() for one in blobs],
        "links": list(store.links()),
        "files": len(files),
        "bytes": teller.total,
    }
    roll = Roll()
    with (
        io.BufferedWriter(_Pipe(teller), CHUNK) as pipe,
        tarfile.open(fileobj=pipe, mode="w|", format=tarfile.PAX_FORMAT, bufsize=CHUNK) as tar,
    ):
        _add_text(tar, roll, FIRST, first)
        for blob in blobs:
            sha256 = blob.digest.removeprefix("sha256:")
            with store.blob(blob.digest).open("rb") as data:
                read = _Hashed(data)
                _add(tar, roll, Member(f"{BLOBS}{sha256}", blob.size, sha256), read)
            if read.sha256 != sha256:
                raise LabkitError(
                    f"{blob.digest} is altered in the depot's store",
                    MEND,
                )
            teller.count(blob.size)
        for file in files:
            teller.count(_add_file(tar, roll, str(file.relative_to(directory)), file))
        _add_text(tar, Roll(), LAST, roll.close())
    return {"files": roll.members, "bytes": teller.done}


def _refuse_lacking(lock: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Refuse what would be refused in the room that has no internet to mend it."""
    for one in said["damaged"]:
        raise LabkitError(
            f"{one['digest']} of {', '.join(one['images'])} is damaged: {one['wrong']}", MEND
        )
    for reference, locked in lock.items():
        held = said["held"].get(read_name(reference).repository, ())
        digests = [locked["digest"], *(one["digest"] for one in locked["platforms"].values())]
        for digest in digests:
            if digest not in held:
                raise LabkitError(
                    f"{reference} is locked to {digest}, which the depot has not",
                    "bring it there first: labkit depot seed",
                )


def _files(cache: Path) -> Iterable[Path]:
    """Return the files that nginx has finished: those it names after their keys."""
    return sorted(one for one in cache.rglob("*") if one.is_file() and "." not in one.name)


def _add_file(tar: tarfile.TarFile, roll: Roll, name: str, file: Path) -> int:
    try:
        data: BinaryIO = file.open("rb")
    except FileNotFoundError:  # nginx has just dropped it
        return 0
    with data:
        digest, size = hashlib.sha256(), 0
        if file.stat().st_size <= SMALL:
            data = io.BytesIO(data.read())
        for chunk in _chunks(data):
            digest.update(chunk)
            size += len(chunk)
        data.seek(0)
        _add(tar, roll, Member(name, size, digest.hexdigest()), data)
    return size


def _add_text(tar: tarfile.TarFile, roll: Roll, name: str, content: Mapping[str, Any]) -> None:
    data = json.dumps(content).encode()
    _add(tar, roll, Member(name, len(data), hashlib.sha256(data).hexdigest()), io.BytesIO(data))


def _add(tar: tarfile.TarFile, roll: Roll, member: Member, data: Any) -> None:
    entry = tarfile.TarInfo(member.name)
    entry.size, entry.mode, entry.pax_headers = member.size, 0o644, {KEY: member.sha256}
    tar.addfile(entry, data)
    roll.add(member)


def _chunks(data: BinaryIO) -> Iterator[bytes]:
    while chunk := data.read(CHUNK):
        yield chunk


def read_first(stream: BinaryIO) -> dict[str, Any]:
    """
    Return what a bundle says of itself; only its beginning is read.

    Raises:
        LabkitError: It is none, or one that this labkit does not know.
    """
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            said = _first(tar)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise LabkitError(
            f"it is no whole bundle of labkit's: {error}",
            "copy it again, or make it anew: labkit depot bundle",
        ) from None
    if said.get("version") != VERSION:
        raise LabkitError(
            f"it is a bundle of version {said.get('version')}, and this labkit reads {VERSION}",
            "make it anew with this labkit, or read it with the labkit that made it",
        )
    return said


def _first(tar: tarfile.TarFile) -> dict[str, Any]:
    entry = tar.next()
    data = tar.extractfile(entry) if entry and entry.name == FIRST else None
    if entry is None or data is None:
        raise ValueError("something else comes first")
    content = data.read()
    if hashlib.sha256(content).hexdigest() != entry.pax_headers.get(KEY):
        raise ValueError("its first part was altered")
    said: dict[str, Any] = json.loads(content)
    return said
