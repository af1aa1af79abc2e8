"""The sandbox's registry is found again, and nobody else's process is taken for it."""

import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from labkit.errors import ControllerError
from labkit.sandbox import cache, registry
from labkit.sandbox.upload import Registry


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = cache.sandbox_folder("0a503fcf")
    home.mkdir(parents=True)
    (home / "registry.json").write_text('{"http": {"addr": "127.0.0.1:1"}}')
    return home


def test_a_process_that_took_over_the_number_is_left_alone(home: Path) -> None:
    (home / "registry.pid").write_text(f"{os.getpid()}\n")

    assert registry.find_registry("0a503fcf") == ""
    assert not registry.stop_registry("0a503fcf")
    assert not home.exists()


@pytest.mark.parametrize("left", ["", "99999999\n", "no number"])
def test_what_a_killed_run_left_is_cleared_away(home: Path, left: str) -> None:
    (home / "registry.pid").write_text(left)

    assert not registry.stop_registry("0a503fcf")
    assert not home.exists()


def test_a_process_of_the_sandbox_is_stopped(home: Path) -> None:
    start = 'sleep 60 >/dev/null 2>&1 & echo $! >"$0"/registry.pid'
    subprocess.run(["sh", "-c", start, str(home)], check=True, cwd=home)

    assert registry.stop_registry("0a503fcf")
    assert not home.exists()


class Shelf(BaseHTTPRequestHandler):
    """As much of a registry as an upload meets."""

    kept: dict[str, bytes]

    def do_HEAD(self) -> None:
        self.answer(200 if self.path in self.kept else 404)

    def do_GET(self) -> None:
        self.answer(200 if self.path in self.kept else 404, self.kept.get(self.path, b""))

    def do_POST(self) -> None:
        self.answer(202, location=f"http://{self.headers['Host']}{self.path}?state=1")

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path, _, digest = self.path.partition("?state=1&digest=")
        self.kept[path.replace("uploads/", digest)] = body
        self.answer(201)

    def answer(self, status: int, body: bytes = b"", location: str = "") -> None:
        self.send_response(status)
        self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[Registry]:
    Shelf.kept = {}
    with HTTPServer(("127.0.0.1", 0), Shelf) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield Registry(f"127.0.0.1:{server.server_port}")
        server.shutdown()


def test_an_image_is_uploaded_once_and_named_by_its_tags(shelf: Registry) -> None:
    manifest = shelf.upload("library/x", saved_image())
    uploaded = dict(Shelf.kept)
    shelf.tag("library/x", "1", manifest)

    assert shelf.upload("library/x", saved_image()) == manifest
    assert shelf.manifest("library/x", "1") == manifest
    assert shelf.manifest("library/x", "2") is None
    assert sorted(uploaded.values()) == [b"layer", b"{}"]
    assert {f"/v2/library/x/blobs/{digest}" for digest in digests(manifest)} == set(uploaded)


def test_what_was_uploaded_can_be_had_back_for_the_engine(shelf: Registry) -> None:
    manifest = shelf.upload("library/x", saved_image())
    archive = io.BytesIO()
    shelf.download("library/x", manifest, ["x:1", "x:2"], archive)
    archive.seek(0)

    with tarfile.open(fileobj=archive) as saved:
        contents = {one.name: saved.extractfile(one) for one in saved}
        read = {name: content.read() for name, content in contents.items() if content}
    (index,) = json.loads(read["manifest.json"])
    assert index["RepoTags"] == ["x:1", "x:2"]
    assert read[index["Config"]] == b"{}"
    assert [read[layer] for layer in index["Layers"]] == [b"layer"]


def test_an_image_whose_bytes_are_gone_is_not_handed_out_in_part(shelf: Registry) -> None:
    manifest = shelf.upload("library/x", saved_image())
    Shelf.kept = {path: body for path, body in Shelf.kept.items() if body != b"layer"}

    with pytest.raises(ControllerError, match="lost sha256:"):
        shelf.download("library/x", manifest, ["x:1"], io.BytesIO())


def saved_image() -> io.BytesIO:
    index = json.dumps([{"Config": "c.json", "Layers": ["1/layer.tar"]}]).encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in (
            ("c.json", b"{}"),
            ("1/layer.tar", b"layer"),
            ("manifest.json", index),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    archive.seek(0)
    return archive


def digests(manifest: bytes) -> set[str]:
    parsed = json.loads(manifest)
    return {parsed["config"]["digest"], *(layer["digest"] for layer in parsed["layers"])}
