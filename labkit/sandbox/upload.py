"""
Puts images into a plain registry over its HTTP API.

The engine's own push would want the registry among its insecure ones, and that is the box's
configuration, not ours. https://distribution.github.io/distribution/spec/api/
"""

import hashlib
import http.client
import json
import tarfile
from dataclasses import dataclass
from typing import IO, Any

from labkit.errors import ControllerError

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SECONDS_TO_ANSWER = 60
_CHUNK = 1 << 20

_OK, _CREATED, _ACCEPTED = 200, 201, 202


@dataclass(frozen=True)
class Answer:
    """A registry's answer: the status, the headers that matter, the body."""

    status: int
    location: str
    body: bytes


def is_registry(address: str) -> bool:
    """Return whether a registry answers at "address:port"."""
    try:
        return _ask(address, "GET", "/v2/", within=1).status == _OK
    except (OSError, http.client.HTTPException):
        return False


def read_manifest(address: str, repository: str, tag: str) -> bytes | None:
    """Return the manifest behind the tag, or None where the registry has none."""
    path = f"/v2/{repository}/manifests/{tag}"
    answer = _ask(address, "GET", path, headers={"Accept": _MANIFEST})
    return answer.body if answer.status == _OK else None


def write_manifest(address: str, repository: str, tag: str, manifest: bytes) -> None:
    """Let the tag name that manifest from now on."""
    path = f"/v2/{repository}/manifests/{tag}"
    answer = _ask(address, "PUT", path, manifest, {"Content-Type": _MANIFEST})
    _expect(answer, _CREATED, f"{repository}:{tag}")


def upload_image(address: str, repository: str, archive: IO[bytes]) -> bytes:
    """
    Upload the layers and the configuration of a `docker save`d image; return its manifest.

    Layers travel uncompressed: the way is short, and packing would take longer than it saves.
    """
    with tarfile.open(fileobj=archive) as saved:
        index = json.loads(_member(saved, "manifest.json").read())[0]
        layers = [
            _describe(_LAYER, *_upload(address, repository, _member(saved, name)))
            for name in index["Layers"]
        ]
        config = _upload(address, repository, _member(saved, index["Config"]))
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _describe(_CONFIG, *config),
        "layers": layers,
    }
    return json.dumps(manifest).encode()


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    member = saved.extractfile(name)
    if member is None:
        raise ControllerError(f"The engine's archive of the image has no {name}.")
    return member


def _describe(kind: str, digest: str, size: int) -> dict[str, Any]:
    return {"mediaType": kind, "size": size, "digest": digest}


def _upload(address: str, repository: str, blob: IO[bytes]) -> tuple[str, int]:
    sha, size = hashlib.sha256(), 0
    while chunk := blob.read(_CHUNK):
        sha.update(chunk)
        size += len(chunk)
    digest = f"sha256:{sha.hexdigest()}"
    if _ask(address, "HEAD", f"/v2/{repository}/blobs/{digest}").status != _OK:
        blob.seek(0)
        begun = _ask(address, "POST", f"/v2/{repository}/blobs/uploads/")
        _expect(begun, _ACCEPTED, repository)
        path = f"{begun.location}&digest={digest}"
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        _expect(_ask(address, "PUT", path, blob, headers), _CREATED, repository)
    return digest, size


def _ask(
    address: str,
    method: str,
    path: str,
    body: bytes | IO[bytes] | None = None,
    headers: dict[str, str] | None = None,
    within: float = _SECONDS_TO_ANSWER,
) -> Answer:
    # Not urllib: the box's proxies know nothing of the sandbox's network.
    connection = http.client.HTTPConnection(address, timeout=within, blocksize=_CHUNK)
    try:
        connection.request(method, path.removeprefix(f"http://{address}"), body, headers or {})
        reply = connection.getresponse()
        return Answer(reply.status, reply.getheader("Location", ""), reply.read())
    finally:
        connection.close()


def _expect(answer: Answer, status: int, what: str) -> None:
    if answer.status != status:
        text = answer.body.decode(errors="replace").strip()
        raise ControllerError(f"The registry refused {what} ({answer.status}): {text}")
