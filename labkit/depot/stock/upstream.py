"""What an image consists of, as the registry says that it comes from."""

import email.message
import hashlib
import http.client
import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from labkit.depot.stock.names import HUB, Name, read_name
from labkit.depot.stock.registry import (
    MISSING,
    PATIENCE,
    TOO_MANY,
    Credentials,
    Registry,
    RegistryError,
)
from labkit.errors import LabkitError

HUBS_URL = "https://registry-1.docker.io"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
ACCEPTED = ", ".join((*INDEXES, *MANIFESTS))
# The registry of the depot takes none that is larger.
MOST_BYTES = 4 * 1024 * 1024
# What Docker Hub itself offers for reading the counters: https://docs.docker.com/docker-hub/usage/pulls/
COUNTED = "ratelimitpreview/test/manifests/latest"


class Blob(NamedTuple):
    """A layer or a configuration, and its bytes as they travel."""

    digest: str
    size: int


class Manifest(NamedTuple):
    """An index or a manifest: its very bytes, which the digest is made of."""

    digest: str
    media_type: str
    body: bytes


class Platform(NamedTuple):
    """An image for one architecture: the digest of its manifest, and what that names."""

    digest: str
    blobs: tuple[Blob, ...]


class Image(NamedTuple):
    """
    What a reference stands for now.

    `repository` is where the depot keeps it, `digest` what `docker pull NAME@DIGEST` takes (an
    index's where there is one); `platforms` has those of the wanted architectures that exist;
    `manifests` are all that have to be kept, the one of `digest` last.
    """

    reference: str
    repository: str
    digest: str
    platforms: Mapping[str, Platform]
    manifests: tuple[Manifest, ...]

    def size(self, architecture: str) -> int:
        """Return the bytes that travel for one architecture."""
        platform = self.platforms[architecture]
        read = {self.digest, platform.digest}
        manifests = sum(len(one.body) for one in self.manifests if one.digest in read)
        return manifests + sum(blob.size for blob in set(platform.blobs))


class Limits(NamedTuple):
    """
    Docker Hub's counters: pulls in all and left, per so many seconds.

    None: that is not told; whoever is refused as one too many has 0 left, of a limit that may not
    be told.
    """

    limit: int | None
    remaining: int | None
    seconds: int | None


UNTOLD = Limits(None, None, None)


# Returns the bytes of a manifest that one has already, by its digest.
Kept = Callable[[str], bytes | None]
# Hears of a manifest that was fetched, and is what it has to be.
Keep = Callable[[Manifest], None]


def registry_of(
    name: Name,
    upstreams: Mapping[str, str],
    credentials: Credentials | None = None,
    *,
    patience: float = PATIENCE,
) -> Registry:
    """Return the registry that a name comes from; the Hub's alone is told the credentials."""
    usual = HUBS_URL if name.registry == HUB else f"https://{name.registry}"
    mine = credentials if name.registry == HUB else None
    url = upstreams.get(name.registry, usual)
    return Registry(name.registry, url, mine, patience=patience)


def resolve(  # noqa: PLR0913 - what is known already is named
    reference: str,
    platforms: Collection[str],
    upstreams: Mapping[str, str],
    credentials: Credentials | None = None,
    *,
    digest: str | None = None,
    kept: Kept = lambda _digest: None,
    keep: Keep = lambda _manifest: None,
    patience: float = PATIENCE,
) -> Image:
    """
    Return what a reference stands for, for these architectures (Docker's words: `amd64`).

    With `digest`, what it stood for then. A manifest that is `kept` is not fetched: the Hub counts
    each of those as a pull, and asking for a digest (HEAD) as none. `keep` gets each that was, at
    once: of an image that fails later, too.

    Raises:
        RegistryError: The registry does not give it.
        LabkitError: It gives nothing for any of the architectures, or what cannot be used.
    """
    name = read_name(reference)
    registry = registry_of(name, upstreams, credentials, patience=patience)
    top = _manifest(registry, name, digest or _digest(registry, name), kept, keep)
    described = _read(top, reference)
    if top.media_type in INDEXES:
        children = {
            found: _manifest(registry, name, child, kept, keep)
            for found, child in _children(described, platforms).items()
        }
        manifests = (*{one.digest: one for one in children.values()}.values(), top)
    else:
        children = {_architecture(registry, name, described): top}
        children = {found: one for found, one in children.items() if found in platforms}
        manifests = (top,)
    if not children:
        raise LabkitError(
            f"{reference} has nothing for {', '.join(sorted(platforms))}",
            "take an image that is made for the class's machines (images_pull)",
        )
    found = {
        architecture: Platform(one.digest, _blobs(_read(one, reference)))
        for architecture, one in children.items()
    }
    return Image(reference, name.repository, top.digest, found, manifests)


def limits(upstreams: Mapping[str, str], credentials: Credentials | None = None) -> Limits:
    """
    Return Docker Hub's counters for this address, or this account; to ask costs no pull.

    Raises:
        RegistryError: It does not answer, or refuses the account.
    """
    registry = Registry(HUB, upstreams.get(HUB, HUBS_URL), credentials)

    def read(answer: http.client.HTTPResponse) -> Limits:
        return _counters(answer.headers)

    try:
        return registry.ask(COUNTED, "its counters", method="HEAD", headers=_accepting, read=read)
    except RegistryError as error:
        if error.status == MISSING:  # a mirror in the Hub's place has no such image, nor counters
            return UNTOLD
        if error.status == TOO_MANY:
            return _counters(error.headers)._replace(remaining=0)
        raise


def _counters(headers: email.message.Message) -> Limits:
    limit, _, window = (headers.get("ratelimit-limit") or "").partition(";w=")
    remaining = (headers.get("ratelimit-remaining") or "").partition(";")[0]
    return Limits(_number(limit), _number(remaining), _number(window))


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _digest(registry: Registry, name: Name) -> str:
    """Return the digest that a tag has now; the tag itself where the registry does not tell."""
    if name.digest:
        return name.digest

    def read(answer: http.client.HTTPResponse) -> str:
        return answer.headers.get("Docker-Content-Digest") or name.tag

    path = f"{name.path}/manifests/{name.tag}"
    return registry.ask(
        path, f"{name.path}:{name.tag}", method="HEAD", headers=_accepting, read=read
    )


def _manifest(registry: Registry, name: Name, wanted: str, kept: Kept, keep: Keep) -> Manifest:
    had = kept(wanted) if ":" in wanted else None
    path, what = f"{name.path}/manifests/{wanted}", f"the manifest {wanted} of {name.path}"
    body = had or registry.ask(path, what, headers=_accepting, read=_body)
    digest = "sha256:" + hashlib.sha256(body).hexdigest()
    if ":" in wanted and digest != wanted:
        raise LabkitError(
            f"{registry.name} gives something else for {name.path}@{wanted}: {digest}",
            "something between here and the registry alters what it says; try another way to it",
        )
    described = _json(body, f"{name.path}@{digest}")
    manifest = Manifest(digest, _media_type(described), body)
    if had is None:
        keep(manifest)
    return manifest


def _accepting() -> Mapping[str, str]:
    return {"Accept": ACCEPTED}


def _body(answer: http.client.HTTPResponse) -> bytes:
    body = answer.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise ValueError(f"a manifest of more than {MOST_BYTES} bytes")
    return body


def _media_type(described: Mapping[str, Any]) -> str:
    """Return the type, which OCI lets a manifest leave out: its fields tell then."""
    usual = INDEXES[0] if "manifests" in described else MANIFESTS[0]
    return str(described.get("mediaType") or usual)


def _json(body: bytes, what: str) -> dict[str, Any]:
    try:
        described = json.loads(body)
    except ValueError:
        described = None
    if not isinstance(described, dict) or not ({"manifests", "config"} & described.keys()):
        raise LabkitError(f"{what} is no manifest that is used today", "take a newer image")
    return described


def _read(manifest: Manifest, reference: str) -> dict[str, Any]:
    return _json(manifest.body, reference)


def _children(described: Mapping[str, Any], platforms: Collection[str]) -> dict[str, str]:
    """Return architecture → digest; the first counts, as for the engine."""
    found: dict[str, str] = {}
    for one in described["manifests"]:
        platform = one.get("platform") or {}
        if platform.get("os") == "linux" and platform.get("architecture") in platforms:
            found.setdefault(platform["architecture"], one["digest"])
    return found


def _architecture(registry: Registry, name: Name, described: Mapping[str, Any]) -> str:
    """Return what a lone manifest is for: only its configuration says it."""
    digest = described["config"]["digest"]
    body = registry.ask(
        f"{name.path}/blobs/{digest}", f"the configuration of {name.path}", read=_body
    )
    return str(json.loads(body).get("architecture") or "")


def _blobs(described: Mapping[str, Any]) -> tuple[Blob, ...]:
    named = (described["config"], *described.get("layers", ()))
    # Layers with `urls` are Windows's, and fetched from elsewhere.
    return tuple(
        {
            one["digest"]: Blob(one["digest"], int(one["size"]))
            for one in named
            if "urls" not in one
        }.values()
    )
