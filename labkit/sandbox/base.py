"""Gets debian:trixie: from Docker Hub, or bootstrapped from the distribution's packages."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from docker import DockerClient
from docker.errors import DockerException, ImageNotFound

from labkit.errors import ControllerError
from labkit.sandbox import apt
from labkit.sandbox.build import STAND_IN

REPOSITORY = "debian"
BASE = f"{REPOSITORY}:{apt.RELEASE}"


def ensure_base(client: DockerClient, *, reaches_hub: bool, tell: Callable[[str], None]) -> None:
    """
    See to it that the engine has debian:trixie, the real one where Docker Hub can be reached.

    Raises:
        ControllerError: It can be neither pulled nor bootstrapped.
    """
    present = _labels(client)
    if present is not None and not (reaches_hub and STAND_IN.items() <= present.items()):
        return
    if reaches_hub:
        tell(f"pulling {BASE}")
        try:
            client.images.pull(BASE)
        except DockerException as error:
            raise ControllerError(f"Docker Hub did not give us {BASE}: {error}") from error
    else:
        tell(f"bootstrapping {BASE} from Debian's packages, since Docker Hub cannot be reached")
        _bootstrap(client)


def _labels(client: DockerClient) -> dict[str, str] | None:
    try:
        return dict(client.images.get(BASE).labels)
    except ImageNotFound:
        return None


def _bootstrap(client: DockerClient) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ControllerError(
            f"Docker Hub cannot be reached, and mmdebstrap, which makes {BASE} without it, is "
            "missing.",
            hint="script/setup installs it.",
        )
    with tempfile.TemporaryDirectory(prefix="labkit-base-") as folder:
        archive = Path(folder) / "root.tar"
        made = subprocess.run(_command(archive), check=False, capture_output=True, text=True)
        if made.returncode != 0:
            end = "\n".join(made.stderr.splitlines()[-6:])
            raise ControllerError(f"mmdebstrap could not make {BASE}:\n{end}")
        client.api.import_image_from_file(
            str(archive),
            repository=REPOSITORY,
            tag=apt.RELEASE,
            changes=[*(f"LABEL {key}={value}" for key, value in STAND_IN.items()), 'CMD ["bash"]'],
        )


def _command(archive: Path) -> list[str]:
    sources = [line for mirror in apt.debian_archives() for line in mirror.lines()]
    return [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        # It copies these from the box, whose name and resolver are none of a machine's business.
        '--customize-hook=rm -f "$1/etc/hostname" "$1/etc/resolv.conf"',
        apt.RELEASE,
        str(archive),
        *sources,
    ]
