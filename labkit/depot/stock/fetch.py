"""A blob on its way from a registry into the store, going on where it ended."""

import http.client
import os
import re
import threading

from labkit.depot.stock.names import Name
from labkit.depot.stock.registry import Registry, RegistryError
from labkit.depot.stock.store import CHUNK, Store, digest_of, told_when_full, write
from labkit.depot.stock.told import Teller
from labkit.depot.stock.upstream import Blob
from labkit.errors import LabkitError

PARTIAL_CONTENT, NOT_SATISFIABLE = 206, 416
BEGINS = re.compile(r"bytes (\d+)-")


class Stopped(Exception):
    """Another blob met what stops them all."""


class Fetch:
    """One blob; `stop` is set where all have to end."""

    def __init__(self, store: Store, blob: Blob, teller: Teller, stop: threading.Event) -> None:
        self._store, self._blob, self._teller, self._stop = store, blob, teller, stop
        self._file = store.partial(blob.digest)
        self._counted = 0

    def run(self, registry: Registry, name: Name) -> None:
        """
        Have it in the store.

        Raises:
            RegistryError: The registry does not give it.
            LabkitError: What it gives is something else, twice; or the disk is full.
        """
        for _ in range(2):
            self._gather(registry, name)
            if self._right():
                with told_when_full():
                    self._store.keep(self._blob.digest)
                return
            self._file.unlink()
            self._count(0)
        raise LabkitError(
            f"{registry.name} gives something else for {name.path}@{self._blob.digest}",
            "something between the depot and the registry alters what it says; try another way",
        )

    def _gather(self, registry: Registry, name: Name) -> None:
        path, what = f"{name.path}/blobs/{self._blob.digest}", f"{self._blob.digest} of {name.path}"
        while True:
            had = self._size()
            self._count(had)
            if had >= self._blob.size:
                return
            try:
                registry.ask(path, what, headers=self._range, read=self._take)
            except RegistryError as error:
                if error.status == NOT_SATISFIABLE:
                    self._file.unlink(missing_ok=True)
                # A line that breaks often, and carries something each time, gets there.
                elif not error.passing or self._size() <= had:
                    raise

    def _range(self) -> dict[str, str]:
        return {"Range": f"bytes={had}-"} if (had := self._size()) else {}

    def _take(self, answer: http.client.HTTPResponse) -> None:
        had = self._size()
        begins = BEGINS.match(answer.headers.get("Content-Range") or "")
        more = answer.status == PARTIAL_CONTENT and begins and int(begins[1]) == had
        with told_when_full():
            file = self._file.open("ab" if more else "wb", buffering=0)
        with file:
            self._count(had if more else 0)
            while self._counted < self._blob.size and (chunk := answer.read(CHUNK)):
                if self._stop.is_set():
                    raise Stopped
                with told_when_full():
                    write(file, chunk)
                self._count(self._counted + len(chunk))
            with told_when_full():
                os.fsync(file.fileno())
        if self._counted < self._blob.size:
            raise http.client.IncompleteRead(b"", self._blob.size - self._counted)

    def _right(self) -> bool:
        return digest_of(self._file) == self._blob.digest

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def _count(self, have: int) -> None:
        self._teller.count(have - self._counted)
        self._counted = have
