"""Has images served by the registry, each as soon as the last of its blobs is there."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from labkit.depot.stock.names import read_name
from labkit.depot.stock.store import Store
from labkit.depot.stock.upstream import Image


class Publishing:
    """
    The images of one seed; `orders` are those of its task.

    `done` has what images.lock.yml says of those that are served. A seed that ends early leaves
    them, whatever is missing of the others.
    """

    def __init__(
        self, store: Store, orders: Iterable[Mapping[str, Any]], images: Mapping[str, Image]
    ) -> None:
        self._store, self._images = store, images
        self._names = {one["reference"]: _names(one) for one in orders}
        self._lacking: dict[str, set[str]] = {}
        self.done: dict[str, dict[str, Any]] = {}

    def begin(self, missing: Collection[str]) -> None:
        """Learn which blobs have to come; images that need none of them are served at once."""
        for reference, image in self._images.items():
            self._lacking[reference] = needed(image) & set(missing)
            self._serve_whole(reference)

    def came(self, digest: str) -> None:
        """Learn of a blob that is there now."""
        for reference, lacking in self._lacking.items():
            if digest in lacking:
                lacking.discard(digest)
                self._serve_whole(reference)

    def _serve_whole(self, reference: str) -> None:
        if not self._lacking[reference]:
            image = self._images[reference]
            self._store.publish(image, self._names[reference])
            self.done[reference] = _locked(image)


def needed(image: Image) -> set[str]:
    """Return the digests of an image's blobs, for all of its architectures."""
    return {blob.digest for one in image.platforms.values() for blob in one.blobs}


def _names(order: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the (repository, tag) under which an image is had."""
    names = [read_name(one) for one in (order["reference"], *order["tags"])]
    return [(name.repository, name.tag) for name in names]


def _locked(image: Image) -> dict[str, Any]:
    """Return what images.lock.yml says of it."""
    platforms = {
        architecture: {"digest": one.digest, "bytes": image.size(architecture)}
        for architecture, one in image.platforms.items()
    }
    return {"digest": image.digest, "platforms": platforms}
