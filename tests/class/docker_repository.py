"""An apt repository with Docker's packages, made of Debian's engine and served on the box."""

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAKE = Path(__file__).with_name("docker_repository.sh")
RELEASES = ("debian.13~trixie", "debian.12~bookworm")


@dataclass(frozen=True)
class Repository:
    """`engines` maps the version of a package to that of the engine in it, the older one first."""

    folder: Path
    fingerprint: str
    engines: Mapping[str, str]

    @contextmanager
    def served(self, address: str) -> Iterator[str]:
        """Serve it on an address of the box, and return where."""
        handler = partial(Quiet, directory=str(self.folder))
        server = ThreadingHTTPServer((address, 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://{address}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def make(folder: Path, image: str) -> Repository:
    """Make the repository in a container of an image that is a machine of Debian 13."""
    mounts = ("-v", f"{folder}:/repository", "-v", f"{MAKE}:/make.sh:ro")
    done = subprocess.run(
        ["docker", "run", "--rm", *mounts, image, "sh", "/make.sh", *RELEASES],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    engines = dict(line.split() for line in (folder / "engines").read_text().splitlines())
    return Repository(folder, (folder / "fingerprint").read_text().strip(), engines)
