"""What the class's images consist of: by the lock of its depot, else by what the registry says."""

import urllib.error
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from labkit.depot.stock.names import HUB, read_name
from labkit.depot.stock.registry import RegistryError
from labkit.depot.stock.upstream import HUBS_URL, Image, resolve
from labkit.errors import LabkitError
from labkit.lock import Locked

AT_ONCE = 4
# Whoever does not answer so soon is asked no further: there may be a mirror that does.
SECONDS_TO_ANSWER = 4
AWAY = "mend this controller's way to it, or seed from a bundle (labkit depot seed --from)"


@dataclass(frozen=True, slots=True)
class Sized:
    """
    One image for one architecture: blob → bytes as they travel, its manifest being one.

    `digests` are those under which an engine may have it. A lock knows the sum alone: it counts
    as one blob, so what images share is counted for each of them.
    """

    reference: str
    digests: frozenset[str]
    blobs: Mapping[str, int]
    # Whether a lock says that it is these digests, and no other image of that name.
    pinned: bool = False

    @property
    def bytes(self) -> int:
        """All that travels where nothing of it is there."""
        return sum(self.blobs.values())

    @property
    def hub(self) -> bool:
        """Whether Docker Hub counts it."""
        return on_hub(self.reference)


@dataclass(frozen=True, slots=True)
class Ways:
    """Where registries are found from here, and the names of those that do not answer."""

    upstreams: Mapping[str, str]
    away: frozenset[str]


# By reference and architecture.
Sizes = dict[tuple[str, str], Sized]


def on_hub(reference: str) -> bool:
    """Tell whether an image is Docker Hub's."""
    return read_name(reference).registry == HUB


def by_lock(lock: Mapping[str, Locked]) -> Sizes:
    """Return what a lock tells."""
    return {
        (reference, architecture): Sized(
            reference, frozenset({one.digest, of.digest}), {of.digest: of.bytes}, pinned=True
        )
        for reference, one in lock.items()
        for architecture, of in one.platforms.items()
    }


def by_registry(
    references: Iterable[str],
    architectures: Collection[str],
    ways: Ways,
    keep: Path,
) -> tuple[Sizes, dict[str, LabkitError]]:
    """
    Return what the registries tell, and reference → what is wrong where they do not.

    To read a manifest counts as a pull at Docker Hub, so they stay in the folder `keep`.
    """

    def kept(digest: str) -> bytes | None:
        file = keep / digest
        return file.read_bytes() if file.is_file() else None

    def one(reference: str) -> Image | LabkitError:
        if (registry := read_name(reference).registry) in ways.away:
            return RegistryError(f"{registry} does not answer", AWAY)
        try:
            return resolve(reference, architectures, ways.upstreams, kept=kept)
        except LabkitError as error:
            return error

    asked = list(references)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(asked, pool.map(one, asked), strict=True))
    found = [one for one in answers.values() if isinstance(one, Image)]
    _keep(found, keep)
    sizes = {
        (image.reference, architecture): sized(image, architecture)
        for image in found
        for architecture in image.platforms
    }
    return sizes, {name: one for name, one in answers.items() if isinstance(one, LabkitError)}


def sized(image: Image, architecture: str) -> Sized:
    """Return what an engine of that architecture fetches."""
    platform = image.platforms[architecture]
    own = {image.digest, platform.digest}
    manifests = {one.digest: len(one.body) for one in image.manifests if one.digest in own}
    blobs = {blob.digest: blob.size for blob in platform.blobs}
    return Sized(image.reference, frozenset(own), manifests | blobs)


def find_ways(
    references: Iterable[str], upstreams: Mapping[str, str], mirrors: Iterable[str]
) -> Ways:
    """
    Find out which registries answer; a mirror that does counts as Docker Hub if that is away.

    One that is away would be waited for with each image.
    """
    ways = dict(upstreams)
    for url in (upstreams.get(HUB, HUBS_URL), *mirrors):
        if _answers(url):
            ways[HUB], away = url, set()
            break
    else:
        away = {HUB}
    names = {read_name(one).registry for one in references} - {HUB}
    away |= {name for name in names if not _answers(ways.get(name, f"https://{name}"))}
    return Ways(ways, frozenset(away))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/v2/", timeout=SECONDS_TO_ANSWER):  # noqa: S310 - the instructor's
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return True
    except (OSError, ValueError):
        return False


def _keep(images: Iterable[Image], directory: Path) -> None:
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    for manifest in (one for image in images for one in image.manifests):
        # Renamed when it is whole: a plan may be cut short, or have a twin.
        if not (file := directory / manifest.digest).exists():
            draft = file.with_suffix(".new")
            draft.write_bytes(manifest.body)
            draft.replace(file)
