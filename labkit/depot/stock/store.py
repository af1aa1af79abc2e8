"""
The depot's store, as the files of a registry, which calls it its storage layout.

Why labkit writes it itself: docs/decisions/0014-seeding-writes-the-registrys-files.md
"""

import errno
import hashlib
import io
import json
import os
import pwd
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.depot.stock.upstream import Blob, Image, Manifest
from labkit.errors import LabkitError

DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
CHUNK = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = "make room on the depot, then run the same again: what is there stays"


class Full(LabkitError):
    """The depot's disk has no room left."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ROOM)


class Store:
    """
    A registry's storage below `root`; what is written belongs to `owner`, "" for whoever writes.

    Nothing appears in it before it is whole.
    """

    def __init__(self, root: Path, owner: str = "") -> None:
        self.root, self._owner = root, owner
        self._base = root / "docker/registry/v2"
        self.incoming = root / "incoming"

    def blob(self, digest: str) -> Path:
        """Return where the bytes of a digest lie, or would lie."""
        hexadecimal = self._hexadecimal(digest)
        return self._base / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"

    def partial(self, digest: str) -> Path:
        """Return where the bytes are gathered until they are all there."""
        self.make(self.incoming)
        return self.incoming / self._hexadecimal(digest)

    def holds(self, blob: Blob, *, verify: bool = False) -> bool:
        """Return whether the bytes are there: in the right number, and if asked the right ones."""
        file = self.blob(blob.digest)
        try:
            if file.stat().st_size != blob.size:
                return False
        except FileNotFoundError:
            return False
        return not verify or digest_of(file) == blob.digest

    def manifest(self, digest: str) -> bytes | None:
        """Return a manifest that is there and is what its digest says, else None."""
        try:
            body = self.blob(digest).read_bytes()
        except FileNotFoundError:
            return None
        return body if f"sha256:{hashlib.sha256(body).hexdigest()}" == digest else None

    def keep(self, digest: str) -> None:
        """Take over the bytes that were gathered, and found to be right."""
        place = self.blob(digest)
        self.make(place.parent)
        self.partial(digest).replace(self.own(place, self.partial(digest)))

    def keep_manifest(self, manifest: Manifest) -> None:
        """Have a manifest's bytes, whether anything leads to them yet or not."""
        self._write(self.blob(manifest.digest), manifest.body)

    def publish(self, image: Image, names: list[tuple[str, str]]) -> None:
        """
        Have the registry serve an image whose blobs are all there.

        `names` are (repository, tag), the tag empty where it is had by its digest alone.
        """
        for manifest in image.manifests:
            self.keep_manifest(manifest)
        blobs = [blob.digest for one in image.platforms.values() for blob in one.blobs]
        for repository, tag in names:
            for digest in blobs:
                self.link(repository, "layers", digest)
            for manifest in image.manifests:
                self.link(repository, "revisions", manifest.digest)
            if tag:
                self.link(repository, f"tags/{tag}", image.digest)

    def link(self, repository: str, kind: str, digest: str) -> None:
        """Enter a digest in a repository; `kind` is layers, revisions or tags/TAG."""
        hexadecimal = self._hexadecimal(digest)
        place = self._base / "repositories" / repository
        if kind == "layers":
            links = [place / "_layers/sha256" / hexadecimal / "link"]
        elif kind == "revisions":
            links = [place / "_manifests/revisions/sha256" / hexadecimal / "link"]
        else:
            tag = place / "_manifests" / kind
            links = [tag / "index/sha256" / hexadecimal / "link", tag / "current/link"]
        for link in links:
            self._write(link, digest.encode())

    def links(self) -> Iterator[tuple[str, str, str]]:
        """Yield all that is entered, as `link` takes it."""
        place = self._base / "repositories"
        for link in sorted(place.rglob("link")):
            parts = link.relative_to(place).parts
            at = next(i for i, part in enumerate(parts) if part.startswith("_"))
            repository, kind = "/".join(parts[:at]), parts[at:]
            digest = link.read_text().strip()
            if not DIGEST.fullmatch(digest):
                continue  # cut off by a power cut; what is seeded again writes it again
            if kind[0] == "_layers":
                yield repository, "layers", digest
            elif kind[1] == "revisions":
                yield repository, "revisions", digest
            elif kind[1] == "tags" and kind[3] == "current":
                yield repository, f"tags/{kind[2]}", digest

    def blobs(self) -> Iterator[Blob]:
        """Yield all blobs that are there, manifests among them, with the size they have."""
        for data in sorted((self._base / "blobs/sha256").glob("??/*/data")):
            yield Blob(f"sha256:{data.parent.name}", data.stat().st_size)

    def make(self, folder: Path) -> None:
        """Make a folder, the registry's own with all that had to be made above it."""
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for one in reversed(missing):
            with told_when_full():
                one.mkdir(exist_ok=True)
            self.own(one)

    def own(self, place: Path, file: Path | None = None) -> Path:
        """Give a file to the registry's user; return the place."""
        # Whoever is not root can only have files of his own.
        if self._owner and os.geteuid() == 0:
            try:
                user = pwd.getpwnam(self._owner)
            except KeyError:
                raise LabkitError(
                    f"the depot has no user {self._owner}", "labkit depot up comes first"
                ) from None
            os.chown(file or place, user.pw_uid, user.pw_gid)
        return place

    def _write(self, place: Path, content: bytes) -> None:
        """Have a small file there, at once or not at all."""
        if place.exists() and place.read_bytes() == content:
            return
        self.make(place.parent)
        self.make(self.incoming)
        with told_when_full():
            descriptor, name = tempfile.mkstemp(dir=self.incoming, prefix=".")
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(descriptor)
        Path(name).chmod(0o644)
        Path(name).replace(self.own(place, Path(name)))

    @staticmethod
    def _hexadecimal(digest: str) -> str:
        found = DIGEST.fullmatch(digest)
        if not found:
            raise LabkitError(f"{digest!r} is no digest", "only sha256 is used today")
        return found[1]


def digest_of(file: Path, told: Callable[[int], None] = lambda _count: None) -> str:
    """Return the digest of a file's bytes; `told` hears of them as they are read."""
    digest = hashlib.sha256()
    with file.open("rb") as data:
        while chunk := data.read(CHUNK):
            digest.update(chunk)
            told(len(chunk))
    return f"sha256:{digest.hexdigest()}"


def write(file: io.RawIOBase, data: bytes) -> None:
    """Write all of it, with no buffer that would be left over, and fail again, at the close."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def children(body: bytes) -> tuple[list[str], list[Blob]]:
    """Return what a manifest names: the manifests of an index, the blobs of an image."""
    described: dict[str, Any] = json.loads(body)
    named = [described[key] for key in ("config",) if key in described]
    named += [one for one in described.get("layers", ()) if "urls" not in one]
    blobs = [Blob(one["digest"], int(one["size"])) for one in named]
    return [one["digest"] for one in described.get("manifests", ())], blobs


@contextmanager
def told_when_full() -> Iterator[None]:
    """Say it so that an instructor knows what to do: the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Full("the depot's disk is full") from None
        raise LabkitError(
            f"the depot cannot write: {error}", "put its disk right, then run the same again"
        ) from None
