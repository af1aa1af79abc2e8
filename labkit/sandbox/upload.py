"""
Puts images into a plain registry over its HTTP API, and gets them out again.

The engine's own push and pull would want the registry among its insecure ones, and that is the
box's configuration, not ours. https://distribution.github.io/distribution/spec/api/
"""

import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from labkit.errors import ControllerError

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_CHUNK = 1 << 20

_OK, _CREATED, _ACCEPTED = 200, 201, 202


@dataclass(frozen=True)
class Answer:
    """A registry's answer: the status, the headers that matter, the body."""

    status: int
    location: str
    body: bytes


class Registry:
    """A registry without users or TLS at "address:port"."""

    def __init__(self, address: str, seconds_to_answer: float = 60) -> None:
        self.address = address
        self._seconds = seconds_to_answer

    def answers(self) -> bool:
        """Return whether a registry is there at all."""
        try:
            return self._ask("GET", "/v2/").status == _OK
        except (OSError, http.client.HTTPException):
            return False

    def manifest(self, repository: str, tag: str) -> bytes | None:
        """Return the manifest behind the tag, or None where the registry has none."""
        path = f"/v2/{repository}/manifests/{tag}"
        answer = self._ask("GET", path, headers={"Accept": _MANIFEST})
        return answer.body if answer.status == _OK else None

    def tag(self, repository: str, tag: str, manifest: bytes) -> None:
        """Let the tag name that manifest from now on."""
        path = f"/v2/{repository}/manifests/{tag}"
        answer = self._ask("PUT", path, manifest, {"Content-Type": _MANIFEST})
        _expect(answer, _CREATED, f"{repository}:{tag}")

    def upload(self, repository: str, archive: IO[bytes]) -> bytes:
        """
        Upload a `docker save`d image, all but its tag; return its manifest.

        Layers travel uncompressed: the way is short, packing takes longer than it saves.
        """
        with tarfile.open(fileobj=archive) as saved:
            index = json.loads(_member(saved, "manifest.json").read())[0]
            layers = [
                self._upload_blob(_LAYER, repository, _member(saved, name))
                for name in index["Layers"]
            ]
            config = self._upload_blob(_CONFIG, repository, _member(saved, index["Config"]))
        manifest = {"schemaVersion": 2, "mediaType": _MANIFEST, "config": config, "layers": layers}
        return json.dumps(manifest).encode()

    def download(
        self, repository: str, manifest: bytes, names: Collection[str], archive: IO[bytes]
    ) -> None:
        """Write the manifest's image into the archive, which `docker load` gives these names."""
        parsed = json.loads(manifest)
        digests = [blob["digest"] for blob in (parsed["config"], *parsed["layers"])]
        files = [digest.replace(":", "-") for digest in digests]
        index = [{"Config": files[0], "RepoTags": list(names), "Layers": files[1:]}]
        with tarfile.open(fileobj=archive, mode="w") as saved:
            for digest, file in dict(zip(digests, files, strict=True)).items():
                with self._asked("GET", f"/v2/{repository}/blobs/{digest}") as reply:
                    if reply.status != _OK:
                        raise ControllerError(f"The registry lost {digest} of {repository}.")
                    _add(saved, file, reply, int(reply.getheader("Content-Length", "")))
            told = json.dumps(index).encode()
            _add(saved, "manifest.json", io.BytesIO(told), len(told))

    def _upload_blob(self, kind: str, repository: str, blob: IO[bytes]) -> dict[str, Any]:
        sha = hashlib.sha256()
        while chunk := blob.read(_CHUNK):
            sha.update(chunk)
        digest, size = f"sha256:{sha.hexdigest()}", blob.tell()
        if self._ask("HEAD", f"/v2/{repository}/blobs/{digest}").status != _OK:
            blob.seek(0)
            begun = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
            _expect(begun, _ACCEPTED, repository)
            path = f"{begun.location}&digest={digest}"
            headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
            _expect(self._ask("PUT", path, blob, headers), _CREATED, repository)
        return {"mediaType": kind, "size": size, "digest": digest}

    def _ask(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        with self._asked(method, path, body, headers) as reply:
            return Answer(reply.status, reply.getheader("Location", ""), reply.read())

    @contextmanager
    def _asked(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Iterator[http.client.HTTPResponse]:
        # Not urllib: the box's proxies know nothing of the sandbox's network.
        connection = http.client.HTTPConnection(
            self.address, timeout=self._seconds, blocksize=_CHUNK
        )
        try:
            place = path.removeprefix(f"http://{self.address}")
            connection.request(method, place, body, headers or {})
            yield connection.getresponse()
        finally:
            connection.close()


def _add(saved: tarfile.TarFile, name: str, content: IO[bytes], size: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = size
    saved.addfile(entry, content)


def _member(saved: tarfile.TarFile, name: str) -> IO[bytes]:
    member = saved.extractfile(name)
    if member is None:
        raise ControllerError(f"The engine's archive of the image has no {name}.")
    return member


def _expect(answer: Answer, status: int, what: str) -> None:
    if answer.status != status:
        text = answer.body.decode(errors="replace").strip()
        raise ControllerError(f"The registry refused {what} ({answer.status}): {text}")
