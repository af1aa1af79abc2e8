"""
A registry in this process that has a few images, and fails in the ways of the internet.

Tests of single modules and those on real machines both use it (`pythonpath` in pyproject.toml).
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LIMIT = "You have reached your unauthenticated pull rate limit"
TOKEN = "t0ken"  # noqa: S105 - it opens this registry alone


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Hub:
    """
    What it has and how it fails.

    `faults`: a part of a path → what comes once for each entry: a status, "cut", "alter", "hang"
    (silence without end) or "hold" (nothing until `opened` is set, then what was asked for).
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    faults: dict[str, list[int | str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    authorized: list[str] = field(default_factory=list)
    user: str = ""
    url: str = ""
    opened: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    def put(self, data: bytes | dict[str, Any]) -> dict[str, Any]:
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.blobs[digest(body)] = body
        return {"digest": digest(body), "size": len(body)}

    def image(self, repository: str, tag: str, layer: bytes, *platforms: str) -> str:
        """Make an image of one shared and one own layer for each platform; return the digest."""
        shared = self.put(layer)
        children = []
        for architecture in platforms:
            config = self.put({"architecture": architecture, "os": "linux", "of": repository})
            layers = [shared, self.put(f"{repository} for {architecture}".encode())]
            manifest = {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": {**config, "mediaType": "application/vnd.oci.image.config.v1+json"},
                "layers": [
                    {**one, "mediaType": "application/vnd.oci.image.layer.v1.tar"} for one in layers
                ],
            }
            made = self.put(manifest)
            platform = {"os": "linux", "architecture": architecture}
            children.append({**made, "mediaType": MANIFEST, "platform": platform})
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
        top = self.put(index)["digest"]
        self.tags[f"{repository}:{tag}"] = top
        return str(top)

    def count(self, part: str) -> int:
        return sum(part in one for one in self.asked)

    def fault(self, path: str) -> int | str | None:
        for part, coming in self.faults.items():
            if part in path and coming:
                return coming.pop(0)
        return None


class Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_GET(self) -> None:
        hub = self.hub
        hub.asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
        fault = hub.fault(self.path)
        if fault == "hang":
            hub.closed.wait()
            return
        if fault == "hold":
            hub.opened.wait()
        if isinstance(fault, int):
            said = {"errors": [{"code": "X", "message": LIMIT if fault == 429 else "on fire"}]}
            self.answer(fault, json.dumps(said).encode(), hub.headers)
        elif self.path.startswith("/token"):
            hub.authorized.append(self.headers.get("Authorization", ""))
            self.answer(200, json.dumps({"token": TOKEN}).encode())
        elif self.path == "/v2/":
            self.answer(200, b"{}")
        elif hub.user and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            realm = f'Bearer realm="{hub.url}/token",service="hub"'
            self.answer(401, b"{}", {"WWW-Authenticate": realm})
        else:
            self.give(fault)

    do_HEAD = do_GET  # noqa: N815 - the server asks for it

    def give(self, fault: str | None) -> None:
        _, repository, kind, wanted = re.split(r"^/v2/(.+)/(manifests|blobs)/(.+)$", self.path)[:4]
        body = self.hub.blobs.get(self.hub.tags.get(f"{repository}:{wanted}", wanted))
        if body is None:
            self.answer(404, json.dumps({"errors": [{"message": "manifest unknown"}]}).encode())
            return
        headers = {"Docker-Content-Digest": digest(body), **self.hub.headers}
        if kind == "manifests":
            headers["Content-Type"] = json.loads(body)["mediaType"]
        if fault == "alter":
            body = bytes(len(body))
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(begin[1]) if begin and kind == "blobs" else 0
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        cut = len(body) // 2 if fault == "cut" else len(body)
        self.answer(206 if first else 200, body[first:], headers, cut)

    def answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        cut: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:cut])

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def serving(hub: Hub, address: str = "127.0.0.1") -> Iterator[Hub]:
    """Serve it at its `url` for a while."""
    server = ThreadingHTTPServer((address, 0), type("H", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://{address}:{server.server_port}"
    try:
        yield hub
    finally:
        hub.opened.set()
        hub.closed.set()
        server.shutdown()
        server.server_close()
