"""A registry that fails in the ways of the internet, on an address of the box."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
CONFIG = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}).encode()
LAYER_BYTES = 100_000
SILENCE_SECONDS = 30
LIMIT = "You have reached your unauthenticated pull rate limit"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest() -> bytes:
    """Return an image of one layer, whose bytes never come in full."""
    whole = bytes(LAYER_BYTES)
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(CONFIG)}
    layer = {"mediaType": LAYER, "digest": digest(whole), "size": LAYER_BYTES}
    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {**config, "size": len(CONFIG)},
        "layers": [layer],
    }
    return json.dumps(content).encode()


class Faulty(BaseHTTPRequestHandler):
    """The first part of a repository's name says how it fails."""

    def do_GET(self) -> None:
        parts = self.path.split("/")
        repository, kind = (parts[2], parts[-2]) if len(parts) > 4 else ("", "")
        if repository == "limited":
            self.answer(
                429, json.dumps({"errors": [{"code": "TOOMANYREQUESTS", "message": LIMIT}]})
            )
        elif repository == "broken":
            self.answer(500, "the disk of the registry is on fire")
        elif repository == "silent":
            time.sleep(SILENCE_SECONDS)
        elif kind == "manifests":
            self.answer(200, manifest().decode(), MANIFEST)
        elif kind == "blobs" and parts[-1] == digest(CONFIG):
            self.answer(200, CONFIG.decode(), "application/octet-stream")
        elif kind == "blobs":
            more = "Range" in self.headers  # the engine goes on where it was cut off
            self.answer(206 if more else 200, "\0" * 1000, LAYER, promised=LAYER_BYTES)
        else:
            self.answer(200, "{}")

    do_HEAD = do_GET

    def answer(
        self, status: int, body: str, kind: str = "application/json", promised: int = 0
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(promised or len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes 1000-{LAYER_BYTES - 1}/{LAYER_BYTES}")
        self.send_header("Docker-Content-Digest", digest(body.encode()))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body.encode())

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def faulty_registry(address: str) -> Iterator[str]:
    """Serve on that address of the box for a while, and give where."""
    server = ThreadingHTTPServer((address, 0), Faulty)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{address}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
