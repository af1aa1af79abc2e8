"""Brings images from their registries into the store, each blob once."""

import shutil
import threading
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from labkit.depot.stock.fetch import Fetch, Stopped
from labkit.depot.stock.names import Name, read_name
from labkit.depot.stock.publishing import Publishing, needed
from labkit.depot.stock.registry import TOO_MANY, Credentials, Registry, RegistryError
from labkit.depot.stock.store import Full, Store
from labkit.depot.stock.told import Teller
from labkit.depot.stock.upstream import Blob, Image, limits, registry_of, resolve
from labkit.errors import LabkitError

# A registry and a line are shared by all; more would only make each slower.
AT_ONCE = 4
MEGABYTE = 1_000_000
# Less than this is not worth another word: links, and directories.
SLACK = 4 * MEGABYTE
# What stands for the status of a registry that does not answer.
SILENT = (0,)


class Seeding:
    """
    One seed; `task` is what labkit sent.

    It has `images`, a list of `reference`, `platforms`, `tags` (further names) and `digest` (what
    it is locked to, or None), `upstreams`, `credentials` (name and password, or None),
    `reserve_mb`, `verify` (whether to read all that is there), and `patience`: the seconds of a
    registry's silence that are borne.
    """

    def __init__(self, task: Mapping[str, Any], store: Store, teller: Teller) -> None:
        self._task, self._store, self._teller = task, store, teller
        given = task["credentials"]
        self._credentials = Credentials(*given) if given else None
        self._upstreams: Mapping[str, str] = task["upstreams"]
        self._registries: dict[str, Registry] = {}
        self._given_up: dict[str, RegistryError] = {}
        self._stop = threading.Event()
        # By reference, and by digest.
        self._failed: dict[str, LabkitError] = {}
        self._lacking: dict[str, LabkitError] = {}

    def run(self) -> dict[str, Any]:
        """
        Return `images`, what was seeded, and `failed`, what was not: reference → why and todo.

        Raises:
            Full: The disk has no room for it.
        """
        self._tell_limits()
        images = self._resolve()
        self._tell_missing(images.values())
        sources = {
            blob: read_name(reference)
            for reference, image in images.items()
            for one in image.platforms.values()
            for blob in one.blobs
        }
        publishing = Publishing(self._store, self._task["images"], images)
        missing = self._missing(sources)
        publishing.begin({blob.digest for blob in missing})
        self._fetch(missing, publishing)
        return self._account(images, publishing.done)

    def _account(self, images: Mapping[str, Image], seeded: Mapping[str, Any]) -> dict[str, Any]:
        for name in images.keys() - seeded.keys():
            lacking = (one for one in self._lacking if one in needed(images[name]))
            self._failed[name] = self._lacking[next(lacking)]
        failed = {name: [why.message, why.hint or ""] for name, why in self._failed.items()}
        return {"images": seeded, "failed": failed}

    def _tell_limits(self) -> None:
        try:
            found = limits(self._upstreams, self._credentials)
        except LabkitError as error:
            self._teller.say(note=f"{error.message}; {error.hint}" if error.hint else error.message)
            return
        self._teller.say(limits=found._asdict())

    def _resolve(self) -> dict[str, Image]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = {one["reference"]: pool.submit(self._ask, one) for one in self._task["images"]}
        return {name: image for name, one in asked.items() if (image := one.result())}

    def _ask(self, wanted: Mapping[str, Any]) -> Image | None:
        reference, locked = wanted["reference"], wanted["digest"]
        host = read_name(reference).registry

        def kept(digest: str) -> bytes | None:
            body = self._store.manifest(digest)
            if body is None and host in self._given_up:
                raise self._given_up[host]
            return body

        try:
            if host in self._given_up and not locked:
                raise self._given_up[host]
            return resolve(
                reference,
                wanted["platforms"],
                self._upstreams,
                self._credentials,
                digest=locked,
                kept=kept,
                # It was counted, perhaps as the last for hours: whoever seeds again has it.
                keep=self._store.keep_manifest,
                patience=self._task["patience"],
            )
        except Full:
            raise
        except LabkitError as error:
            self._failed[reference] = error
            # A limit stops nobody else: others' manifests may be here already, and blobs are not
            # counted.
            self._give_up(host, error, SILENT)
            return None

    def _give_up(self, host: str, error: LabkitError, statuses: Collection[int]) -> None:
        """Ask no more of what does not answer, or wants no more questions."""
        if isinstance(error, RegistryError) and error.status in statuses:
            self._given_up[host] = error

    def _tell_missing(self, images: Iterable[Image]) -> None:
        wanted = {one["reference"]: one["platforms"] for one in self._task["images"]}
        for image in images:
            lacking = sorted(set(wanted[image.reference]) - image.platforms.keys())
            if lacking:
                self._teller.say(note=f"{image.reference} has nothing for {', '.join(lacking)}")

    def _missing(self, sources: Mapping[Blob, Name]) -> dict[Blob, Name]:
        """Return what has to come; refuse what there is no room for."""
        self._teller.total = sum(blob.size for blob in sources)
        missing = {}
        for blob, name in sources.items():
            if self._store.holds(blob, verify=self._task["verify"]):
                self._teller.count(blob.size)
            else:
                missing[blob] = name
        self._teller.say(blobs=len(sources), missing=len(missing))
        self._teller.progress()
        had = sum(self._had(blob) for blob in missing)
        needed = sum(blob.size for blob in missing) - had
        free = shutil.disk_usage(self._store.root).free - self._task["reserve_mb"] * MEGABYTE
        if needed and needed + SLACK > free:
            raise Full(
                f"the depot has {max(0, free) // MEGABYTE} MB of disk for images, beside a reserve "
                f"of {self._task['reserve_mb']} MB, and {-(-needed // MEGABYTE)} MB have to come"
            )
        return missing

    def _had(self, blob: Blob) -> int:
        file = self._store.partial(blob.digest)
        return file.stat().st_size if file.exists() else 0

    def _fetch(self, missing: Mapping[Blob, Name], publishing: Publishing) -> None:
        full: Full | None = None
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # The largest first: else the last one is waited for alone.
            ordered = sorted(missing, key=lambda blob: -blob.size)
            begun = {pool.submit(self._fetch_one, one, missing[one]): one for one in ordered}
            for done in as_completed(begun):
                full = self._came(done, begun[done], publishing) or full
        if full:
            raise full

    def _came(self, done: "Future[None]", blob: Blob, publishing: Publishing) -> Full | None:
        """Note a blob that came, or why it did not; return what stops them all."""
        try:
            done.result()
            publishing.came(blob.digest)
        except Full as error:
            self._stop.set()
            return error
        except LabkitError as error:
            self._lacking[blob.digest] = error
        except Stopped:
            pass
        return None

    def _fetch_one(self, blob: Blob, name: Name) -> None:
        if self._stop.is_set():
            raise Stopped
        if name.registry in self._given_up:
            raise self._given_up[name.registry]
        try:
            Fetch(self._store, blob, self._teller, self._stop).run(self._registry(name), name)
        except RegistryError as error:
            self._give_up(name.registry, error, (*SILENT, TOO_MANY))
            raise

    def _registry(self, name: Name) -> Registry:
        """Return one for all: its tokens are asked for once."""
        usual = registry_of(
            name, self._upstreams, self._credentials, patience=self._task["patience"]
        )
        return self._registries.setdefault(name.registry, usual)
