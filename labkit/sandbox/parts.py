"""What a stand-in is built from: its folder's files, the box's settings, and what is made."""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from labkit.errors import ControllerError
from labkit.sandbox import clients
from labkit.sandbox.apt import RELEASE
from labkit.sandbox.base import SLIM, bootstrap
from labkit.sandbox.build import read_folder
from labkit.sandbox.image import Files, box_files

# Where Debian's packages keep the authorities to trust, and Alpine's too.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def sources(folder: Path) -> Files:
    """
    Return all that decides what the image becomes; cheap, whatever it costs to build.

    Beside the folder's own files, the box's settings that its Dockerfile copies.
    """
    files = read_folder(folder)
    dockerfile = files["Dockerfile"][0].decode()
    for name, settings in _settings().items():
        if f"COPY {name}/ " in dockerfile:
            files |= {f"{name}/{path}": file for path, file in settings.items()}
    if "ADD root.tar " in dockerfile:
        files["root.options"] = ("\n".join([RELEASE, *SLIM]).encode(), 0o644)
    return files


def made(files: Files) -> Files:
    """
    Return what else the build needs, made from the sources: slow.

    Raises:
        ControllerError: A tool is missing or failed.
    """
    more: Files = {}
    for name, (content, _) in files.items():
        if name.endswith(".c"):
            more[name.removesuffix(".c")] = (_compiled(content), 0o755)
    if "wheels.txt" in files:
        more |= _wheels(files["wheels.txt"][0])
    if "root.options" in files:
        more["root.tar"] = (_root(), 0o644)
    return more


@cache
def _settings() -> dict[str, Files]:
    return {
        "files": box_files(RELEASE),
        "npm": {"usr/local/etc/npmrc": (clients.npmrc(AUTHORITIES).encode(), 0o644)},
        "go": {"root/.config/go/env": (clients.go_env().encode(), 0o644)},
    }


def _root() -> bytes:
    with _folder() as folder:
        archive = folder / "root.tar"
        bootstrap(archive, RELEASE, SLIM)
        return archive.read_bytes()


def _compiled(source: bytes) -> bytes:
    """Return a C file's static program, for an image that starts from scratch."""
    with _folder() as folder:
        (folder / "program.c").write_bytes(source)
        _run(folder, "gcc", "-static", "-Os", "-s", "-o", "program", "program.c")
        return (folder / "program").read_bytes()


def _wheels(requirements: bytes) -> Files:
    """Return what is in the wheels that pip's requirements name, below wheels/."""
    found: Files = {}
    with _folder() as folder:
        (folder / "wheels.txt").write_bytes(requirements)
        options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
        _run(folder, sys.executable, "-m", "pip", "download", *options, "-r", "wheels.txt")
        for path in folder.glob("*.whl"):
            with zipfile.ZipFile(path) as wheel:
                for member in wheel.infolist():
                    mode = 0o755 if member.external_attr >> 16 & 0o100 else 0o644
                    if not member.is_dir():
                        found[f"wheels/{member.filename}"] = (wheel.read(member), mode)
    return found


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="labkit-stand-in-") as folder:
        yield Path(folder)


def _run(folder: Path, *command: str) -> None:
    tool = "pip" if "pip" in command else command[0]
    if shutil.which(command[0]) is None:
        raise ControllerError(
            f"{tool}, which stand-ins for Docker Hub's images need, is missing.",
            hint="script/setup installs it.",
        )
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        end = "\n".join(done.stderr.strip().splitlines()[-6:])
        raise ControllerError(f"{tool} failed, which a stand-in needs:\n{end}")
