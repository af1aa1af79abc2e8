"""Takes a bundle into a depot: a file only if its sha256 is right, and what links them last."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from labkit.depot.stock.bundle import BLOBS, CACHE, FIRST, KEY, LAST, VERSION, Member, Roll
from labkit.depot.stock.names import PART
from labkit.depot.stock.store import CHUNK, Full, Store, children, told_when_full, write
from labkit.depot.stock.told import Teller
from labkit.depot.stock.upstream import Blob
from labkit.errors import LabkitError

MEGABYTE = 1_000_000
REPOSITORY = re.compile(rf"{PART}(?:/{PART})*")
LINK = re.compile(r"layers|revisions|tags/\w[\w.-]{0,127}")
# One of nginx's, named after its key, below folders of the name's last letters.
CACHED = re.compile(rf"{CACHE}(?:/[0-9a-f]+)+")
AGAIN = "copy the file again, or make it anew (labkit depot bundle); what was right of it stays"


class Wrong(LabkitError):
    """A bundle that is not what it was."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the bundle is refused: {what}", AGAIN)


class Loading:
    """One import; `task` has `directory`, `reserve_mb`, and `restart`, nginx's service or ""."""

    def __init__(
        self, task: Mapping[str, Any], store: Store, teller: Teller, stream: IO[bytes]
    ) -> None:
        self._task, self._store, self._teller, self._stream = task, store, teller, stream
        self._directory = Path(task["directory"])
        self._first: dict[str, Any] = {}
        # Digest → a repository that needs it; and the file that is read.
        self._of: dict[str, str] = {}
        self._at = "its beginning"

    def run(self) -> dict[str, Any]:
        """
        Return the bundle's `lock`, and the numbers of `blobs` and `files`.

        Raises:
            LabkitError: It is truncated, altered or none; or the disk is full.
        """
        try:
            with tarfile.open(fileobj=self._stream, mode="r|", bufsize=CHUNK) as tar:
                files = self._take_all(tar)
        except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
            raise Wrong(f"it is truncated or damaged, at {self._at} ({error})") from None
        self._publish()
        if files and self._task["restart"]:
            # It learns only when it starts what its caches hold.
            restart = ["systemctl", "try-restart", self._task["restart"]]
            subprocess.run(restart, check=False, capture_output=True)
        return {"lock": self._first["lock"], "blobs": len(self._first["blobs"]), "files": files}

    def _take_all(self, tar: tarfile.TarFile) -> int:
        roll, files = Roll(), 0
        for entry in self._entries(tar):
            data = tar.extractfile(entry)
            if data is None:
                raise Wrong(f"{entry.name} is no plain file")
            self._at, sha256 = entry.name, entry.pax_headers.get(KEY, "")
            if entry.name == LAST:
                self._end(_json(data), roll)
                return files
            roll.add(Member(entry.name, entry.size, sha256))
            if not self._first:
                self._begin(entry.name, data, sha256)
            elif entry.name.startswith(BLOBS):
                self._take_blob(entry, data)
            else:
                self._take_file(entry, data, sha256)
                files += 1
        raise Wrong(f"it is truncated: nothing comes behind {self._at}")

    def _entries(self, tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
        while entry := tar.next():
            yield entry

    def _begin(self, name: str, data: IO[bytes], sha256: str) -> None:
        content = data.read()
        if name != FIRST or hashlib.sha256(content).hexdigest() != sha256:
            raise Wrong("its first part is altered, or is not there")
        self._first = json.loads(content)
        if self._first["version"] != VERSION:
            raise Wrong(f"it has version {self._first['version']}, this labkit reads {VERSION}")
        for repository, kind, digest in self._first["links"]:
            if not (REPOSITORY.fullmatch(repository) and LINK.fullmatch(kind)):
                raise Wrong(f"it names {repository} {kind}")
            self._of.setdefault(digest, repository)
        self._teller.total = self._first["bytes"]
        blobs = [Blob(one["digest"], one["size"]) for one in self._first["blobs"]]
        there = sum(blob.size for blob in blobs if self._store.holds(blob))
        reserve = self._task["reserve_mb"] * MEGABYTE
        free = shutil.disk_usage(self._store.root).free - reserve
        if self._teller.total - there > free:
            raise Full(
                f"the depot has {max(0, free) // MEGABYTE} MB of disk for a bundle, beside a "
                f"reserve of {self._task['reserve_mb']} MB, and "
                f"{(self._teller.total - there) // MEGABYTE} MB have to come"
            )

    def _take_blob(self, entry: tarfile.TarInfo, data: IO[bytes]) -> None:
        digest = f"sha256:{entry.name.removeprefix(BLOBS)}"
        # What was altered in its place has its size still, and the bundle has it whole.
        held = self._store.holds(Blob(digest, entry.size), verify=True)
        found = self._copy(data, None if held else self._store.partial(digest))
        if f"sha256:{found}" != digest:
            if not held:
                self._store.partial(digest).unlink(missing_ok=True)
            whose = self._of.get(digest)
            raise Wrong(f"{digest}{f' of {whose}' if whose else ''} was altered or cut off")
        if not held:
            with told_when_full():
                self._store.keep(digest)

    def _take_file(self, entry: tarfile.TarInfo, data: IO[bytes], sha256: str) -> None:
        if not CACHED.fullmatch(entry.name):
            raise Wrong(f"it has a file {entry.name!r}, which has no place in a depot")
        place = self._directory / entry.name
        draft = self._store.incoming / f"cache-{place.name}"
        self._store.make(self._store.incoming)
        if self._copy(data, draft) != sha256:
            draft.unlink()
            raise Wrong(f"{entry.name} was altered or cut off")
        with told_when_full():
            self._settle(draft, place)

    def _settle(self, draft: Path, place: Path) -> None:
        """Move a file into nginx's cache, as nginx's own."""
        cache = self._directory / CACHE
        cache.mkdir(parents=True, exist_ok=True)
        owner = cache.stat()
        for folder in reversed(place.relative_to(cache).parents):
            one = cache / folder
            if not one.exists():
                one.mkdir(mode=0o700)
                os.chown(one, owner.st_uid, owner.st_gid)
        os.chown(draft, owner.st_uid, owner.st_gid)
        draft.chmod(0o600)
        draft.replace(place)

    def _copy(self, data: IO[bytes], place: Path | None) -> str:
        """Return the sha256 of what comes; it is written to the place, if there is one."""
        digest = hashlib.sha256()
        with told_when_full():
            file = place.open("wb", buffering=0) if place else None
        try:
            while chunk := data.read(CHUNK):
                digest.update(chunk)
                self._teller.count(len(chunk))
                if file:
                    with told_when_full():
                        write(file, chunk)
            if file:
                with told_when_full():
                    os.fsync(file.fileno())
        finally:
            if file:
                file.close()
        return digest.hexdigest()

    def _end(self, said: Mapping[str, Any], roll: Roll) -> None:
        if said != roll.close():
            raise Wrong("something in it was altered, added or taken away between its files")

    def _publish(self) -> None:
        """Enter all that is linked; of a manifest, what it names has come before."""
        sizes = {one["digest"] for one in self._first["blobs"]}
        for repository, kind, digest in self._first["links"]:
            if digest not in sizes:
                raise Wrong(f"{digest} of {repository} is not in it")
            if kind == "revisions":
                self._refuse_lacking(repository, digest, sizes)
        # Tags last: who pulls in the meantime finds nothing, or all.
        for repository, kind, digest in sorted(self._first["links"], key=_rank):
            self._store.link(repository, kind, digest)

    def _refuse_lacking(self, repository: str, digest: str, sizes: set[str]) -> None:
        body = self._store.manifest(digest)
        lacking = (
            [one.digest for one in children(body)[1] if one.digest not in sizes]
            if body
            else [digest]
        )
        if lacking:
            raise Wrong(f"{lacking[0]} of {repository} is not in it")


def _rank(link: tuple[str, str, str]) -> int:
    return ("layers", "revisions").index(link[1]) if "/" not in link[1] else 2


def _json(data: IO[bytes]) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.load(data)
    except ValueError:
        raise Wrong("its end was altered") from None
    return said
