"""A depot's stock without a depot: its program in a process, its store behind a real registry."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from labkit.depot.orders import program

BEGIN = "import sys; b = sys.stdin.buffer; exec(b.read(int(b.readline())))"


class Depot:
    """A depot's folder, and what its program makes of a task."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory, self.url = directory, url
        directory.mkdir()
        self.said: list[dict[str, Any]] = []
        self.given = b""

    def command(self) -> list[str]:
        return [sys.executable, "-I", "-c", BEGIN]

    def task(self, verb: str, **more: Any) -> bytes:
        standing = {
            "verb": verb,
            "directory": str(self.directory),
            "reserve_mb": 0,
            "owner": "",
            "restart": "",
            "who": "labkit of ada on desk",
            "upstreams": {"docker.io": self.url},
            "credentials": None,
            "verify": False,
            "patience": 30,
        }
        sent = program()
        return f"{len(sent)}\n".encode() + sent + json.dumps({**standing, **more}).encode() + b"\n"

    def do(self, verb: str, data: bytes = b"", **more: Any) -> dict[str, Any]:
        """Return its last word; all of it is in `said`, and the bytes that it gave in `given`."""
        running = subprocess.Popen(
            self.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert running.stdin
        assert running.stdout
        assert running.stderr
        running.stdin.write(self.task(verb, **more))
        running.stdin.flush()
        if verb == "load":
            # It may have read enough.
            with suppress(BrokenPipeError):
                running.stdin.write(data)
            with suppress(BrokenPipeError):
                running.stdin.close()
        self.said, self.given = [], b""
        while line := running.stdout.readline():
            self.said.append(json.loads(line))
            if "piece" in self.said[-1]:
                self.given += running.stdout.read(self.said.pop()["piece"])
        wrong = running.stderr.read().decode()
        with running:
            pass
        last = self.said[-1] if self.said else {}
        assert {"result", "failed"} & last.keys(), wrong
        return last.get("result", last)

    def seed(self, *references: str, platforms: tuple[str, ...] = ("amd64",), **more: Any) -> dict:
        images = [
            {"reference": one, "platforms": platforms, "tags": [], "digest": None, **more}
            for one in references
        ]
        return self.do("seed", images=images, **{k: v for k, v in more.items() if k == "verify"})

    def data(self, digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        blobs = self.directory / "store/docker/registry/v2/blobs/sha256"
        return blobs / hexadecimal[:2] / hexadecimal / "data"


@contextmanager
def registry(root: Path, *, readonly: bool = True) -> Iterator[str]:
    """Run Debian's docker-registry over a folder for a while, and give its URL."""
    assert shutil.which("docker-registry"), "script/setup installs it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "maintenance": {"readonly": {"enabled": readonly}},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    file = root.parent / f"{root.name}-registry.json"
    file.write_text(json.dumps(settings))
    running = subprocess.Popen(
        ["docker-registry", "serve", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url)
        yield url
    finally:
        running.kill()
        running.wait()


def _await(url: str) -> None:
    end = time.monotonic() + 15
    while True:
        try:
            fetch(f"{url}/v2/")
        except OSError:
            assert time.monotonic() < end, "docker-registry does not start"
            time.sleep(0.1)
        else:
            return


def fetch(url: str, **headers: str) -> bytes:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - it is our own
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return bytes(answer.read())
