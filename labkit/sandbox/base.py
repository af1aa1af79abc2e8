"""Gets the base image of Debian: from Docker Hub, or bootstrapped from Debian's packages."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException, ImageNotFound

from labkit.errors import ControllerError
from labkit.sandbox import apt
from labkit.sandbox.build import STAND_IN

REPOSITORY = "debian"

# What makes an image small: as in Docker Hub's slim ones, documentation stays out of it for good.
SLIM = (
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    *(f"--dpkgopt=path-exclude=/usr/share/{kind}/*" for kind in ("info", "locale", "man")),
)


def base_name(release: str) -> str:
    """Return the image's name, such as "debian:trixie"."""
    return f"{REPOSITORY}:{release}"


def ensure_base(
    client: DockerClient, release: str, *, reaches_hub: bool, tell: Callable[[str], None]
) -> None:
    """
    See to it that the engine has the release's image, the real one if Docker Hub can be reached.

    Raises:
        ControllerError: It can be neither pulled nor bootstrapped.
    """
    base = base_name(release)
    present = _labels(client, base)
    if present is not None and not (reaches_hub and STAND_IN.items() <= present.items()):
        return
    if reaches_hub:
        tell(f"pulling {base}")
        try:
            client.images.pull(base)
        except DockerException as error:
            raise ControllerError(f"Docker Hub did not give us {base}: {error}") from error
    else:
        tell(f"bootstrapping {base} from Debian's packages, since Docker Hub cannot be reached")
        _bootstrap(client, release)


def _labels(client: DockerClient, base: str) -> dict[str, str] | None:
    try:
        return dict(client.images.get(base).labels)
    except ImageNotFound:
        return None


def _bootstrap(client: DockerClient, release: str) -> None:
    with tempfile.TemporaryDirectory(prefix="labkit-base-") as folder:
        archive = Path(folder) / "root.tar"
        bootstrap(archive, release)
        client.api.import_image_from_file(
            str(archive),
            repository=REPOSITORY,
            tag=release,
            changes=[*(f"LABEL {key}={value}" for key, value in STAND_IN.items()), 'CMD ["bash"]'],
        )


def bootstrap(
    archive: Path,
    release: str,
    options: Sequence[str] = (),
    variables: Mapping[str, str] | None = None,
) -> None:
    """
    Write the release's smallest system into the archive, made from the box's Debian mirrors.

    `variables` are in the environment of all that packages run when they are installed.

    Raises:
        ControllerError: mmdebstrap is missing or failed.
    """
    if shutil.which("mmdebstrap") is None:
        raise ControllerError(
            f"Docker Hub cannot be reached, and mmdebstrap, which makes {base_name(release)} "
            "without it, is missing.",
            hint="script/setup installs it.",
        )
    command = _command(archive, release, options)
    made = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **(variables or {})},
    )
    if made.returncode != 0:
        end = "\n".join(made.stderr.splitlines()[-6:])
        raise ControllerError(f"mmdebstrap could not make {base_name(release)}:\n{end}")


def _command(archive: Path, release: str, options: Sequence[str]) -> list[str]:
    sources = [line for mirror in apt.debian_archives(release) for line in mirror.lines()]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        # It copies these from the box, whose name and resolver are none of a machine's business.
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        *options,
        release,
        str(archive),
        *sources,
    ]
