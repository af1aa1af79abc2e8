"""A registry behind a slow line, that counts what it gives: Docker Hub as a class meets it."""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from labkit.sandbox import cache

# A network for documentation: nobody's own. The registry lives in a namespace, so that its side of
# the link carries nothing else: what machines, depot and box say to each other stays unshaped.
SPACE, LINK = "labkit-bench", "labkit-bench0"
BOX, ADDRESS = "203.0.113.1", "203.0.113.2"
URL = f"http://{ADDRESS}:5000"
SHAPED = ("qdisc", "add", "dev", "eth0", "root", "tbf")
QUEUE = ("latency", "100ms")
GIVEN = re.compile(r'"GET /v2/\S+/blobs/\S+ HTTP/[\d.]+" 20[06] (\d+)')
SECONDS_TO_START = 15


@dataclass
class Upstream:
    """The registry's access log; `mark` begins to count anew."""

    log: Path
    _seen: int = field(default=0)

    def mark(self) -> None:
        self._seen = self.log.stat().st_size

    @property
    def blobs(self) -> list[int]:
        """The bytes of each blob that was given since the mark."""
        with self.log.open("rb") as file:
            file.seek(self._seen)
            return given(file.read().decode(errors="replace"))


def given(log: str) -> list[int]:
    """Return the bytes of each answer to a request for a blob."""
    return [int(found[1]) for found in GIVEN.finditer(log)]


@contextmanager
def upstream(megabits: int) -> Iterator[Upstream]:
    """Serve what the sandbox's registry holds over a line of so many Mbit/s, while it lasts."""
    with tempfile.TemporaryDirectory(prefix="labkit-upstream-") as folder:
        process = None
        try:
            _wire(megabits)
            (log := Path(folder, "access.log")).touch()
            with log.open("ab") as end:
                process = subprocess.Popen(_serve(Path(folder)), stdout=end, stderr=end)
            _await(log)
            yield Upstream(log)
        finally:
            if process:
                process.terminate()
                process.wait()
            # The link goes with it.
            subprocess.run(["ip", "netns", "del", SPACE], check=False)


def _serve(folder: Path) -> list[str]:
    settings = {
        "version": "0.1",
        # Its access log is written to standard output.
        "log": {"level": "error"},
        "storage": {
            "filesystem": {"rootdirectory": str(cache.registry_data())},
            "maintenance": {"readonly": {"enabled": True}},
        },
        "http": {"addr": f"{ADDRESS}:5000"},
    }
    (file := folder / "registry.json").write_text(json.dumps(settings))
    return ["ip", "netns", "exec", SPACE, "docker-registry", "serve", str(file)]


def _wire(megabits: int) -> None:
    inside = ("ip", "-n", SPACE)
    for words in (
        ("ip", "netns", "add", SPACE),
        ("ip", "link", "add", LINK, "type", "veth", "peer", "name", "eth0", "netns", SPACE),
        ("ip", "addr", "add", f"{BOX}/30", "dev", LINK),
        ("ip", "link", "set", LINK, "up"),
        (*inside, "addr", "add", f"{ADDRESS}/30", "dev", "eth0"),
        (*inside, "link", "set", "eth0", "up"),
        (*inside, "route", "add", "default", "via", BOX),
        # A tenth of a second of it may wait, as at a router of that size.
        ("tc", "-n", SPACE, *SHAPED, "rate", f"{megabits}mbit", "burst", "64kb", *QUEUE),
    ):
        subprocess.run(words, check=True)


def _await(log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            with urllib.request.urlopen(f"{URL}/v2/", timeout=1):  # noqa: S310 - our own
                return
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"the upstream registry does not answer:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
