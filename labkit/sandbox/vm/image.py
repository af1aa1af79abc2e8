"""The image of a bare virtual machine: a disk and a kernel, from Debian's packages."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import yaml

from labkit import paths
from labkit.errors import ControllerError
from labkit.sandbox import turn
from labkit.sandbox.base import SLIM, bootstrap
from labkit.sandbox.build import pack, read_folder
from labkit.sandbox.image import Files, box_files
from labkit.sandbox.recipe import ACCOUNT
from labkit.sandbox.vm import initrd, place, wiring
from labkit.sandbox.vm.hardware import DISK, INITRD, KERNEL, PROGRAM

Tell = Callable[[str], None]

PACKAGES = (
    # As on a machine that a cloud would hand out.
    *("apparmor", "ca-certificates", "curl", "dbus", "gnupg", "iproute2", "iptables", "kmod"),
    *("openssh-server", "procps", "python3", "sudo", "systemd", "systemd-sysv"),
    *("systemd-timesyncd", "udev"),
    # Runs what the box says before there are names and keys, and tells the box how it is.
    "qemu-guest-agent",
    "linux-image-cloud-amd64",
)
DISK_SIZE = "16G"

_SOURCES = Path(__file__).parent / "machine"
_SETUP = "usr/local/sbin/sandbox-setup"
_DRAFT = ".making-"
# Counted up when this module makes another image of the same files.
_EDITION = 1

# An archive of a root comes in, a disk goes out. Owners are right because mmdebstrap's helper,
# or root itself, may give files to whom they belong.
_TO_DISK = f"""set -e
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir "$work/root"; tar -x -f - -C "$work/root" --numeric-owner --exclude='./dev/*'
PATH="$PATH:/usr/sbin:/sbin"
mke2fs -q -t ext4 -i 32768 -m 0 -d "$work/root" "$work/disk" {DISK_SIZE} >&2
qemu-img convert -f raw -O qcow2 "$work/disk" "$work/{DISK}" >&2
cat "$work/{DISK}"
"""

# Keeps the kernel's package from making a RAM disk, which takes as long as all else: we make one
# of our own. See /etc/kernel/postinst.d/initramfs-tools.
_NO_RAM_DISK = {"INITRD": "No"}

# In it an executable names the loader of its libraries, if it has any.
_HEADERS = 8192

# What runs machines, and what is needed to build their image too.
RUNNING = (PROGRAM, "qemu-img")
_TOOLS = {
    PROGRAM: "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "busybox": "busybox-static",
}


def require_tools(names: Iterable[str] = _TOOLS) -> None:
    """
    Refuse a box that lacks a tool.

    Raises:
        ControllerError: Names what is missing, and the packages that have it.
    """
    if os.uname().machine != "x86_64":
        raise ControllerError(
            f"Virtual machines are made for x86_64 only, and this box is {os.uname().machine}.",
            hint="`labkit sandbox up` without --backend makes machines of containers.",
        )
    missing = [name for name in names if not _which(name)]
    # Without root it needs this too.
    if "mmdebstrap" in names and os.getuid() != 0 and not _which("newuidmap"):
        missing.append("newuidmap")
    if missing:
        packages = " ".join(_TOOLS.get(name, "uidmap") for name in missing)
        raise ControllerError(
            f"Virtual machines need what this box lacks: {', '.join(missing)}.",
            hint=f"apt-get install --no-install-recommends {packages}, or run script/setup.",
        )


def ensure_image(release: str, tell: Tell) -> Path:
    """
    Return the folder of the image for a release, built only if this very image is not there yet.

    Raises:
        ControllerError: A tool is missing, or the build failed.
    """
    files = sources(release)
    known = json.dumps([_EDITION, release, _options(Path(), packages()), DISK_SIZE, _TO_DISK])
    key = hashlib.sha256(known.encode() + pack(files)).hexdigest()[:12]
    made = place.images() / f"{release}-{key}"
    if (made / DISK).exists():
        return made
    with turn.taken("vm-image", partial(tell, "waiting for another labkit's image")):
        if not (made / DISK).exists():
            require_tools()
            tell(f"building the virtual machine's image from the packages of Debian {release}")
            _build(made, release, files)
    return made


def sources(release: str) -> Files:
    """Return the files that are put into the image, by their path from the root."""
    files = box_files(release, loopback=wiring.BOX)
    return files | {
        name: (content, mode if mode & 0o100 else 0o644)
        for name, (content, mode) in read_folder(_SOURCES).items()
    }


def _build(made: Path, release: str, files: Files) -> None:
    made.parent.mkdir(parents=True, exist_ok=True)
    for left in made.parent.glob(f"{_DRAFT}*"):
        shutil.rmtree(left)
    # Beside its place, so that it gets there at once and whole.
    with tempfile.TemporaryDirectory(prefix=_DRAFT, dir=made.parent) as folder:
        work = Path(folder)
        (work / "files.tar").write_bytes(pack(files))
        root = work / "root.tar"
        bootstrap(root, release, _options(work, packages()), _NO_RAM_DISK)
        ready = work / "image"
        ready.mkdir()
        _write_disk(root, ready / DISK)
        _write_kernel(root, ready)
        ready.rename(made)
    place.forget_older(made, f"{release}-*")


def packages() -> list[str]:
    """
    Return what is installed beforehand: a machine's own, and the tools of the role base.

    The tools only since an emulated machine needs minutes for them; of the engine nothing is there.
    """
    text = (paths.content() / "roles" / "base" / "defaults" / "main.yml").read_text()
    return sorted({*PACKAGES, *yaml.safe_load(text)["base_packages"]})


def _options(work: Path, packages: Iterable[str]) -> list[str]:
    return [
        *SLIM,
        f"--include={','.join(packages)}",
        # Package lists stay: an emulated machine needs half a minute to read them.
        "--skip=cleanup/apt",
        f"--customize-hook=tar-in {work}/files.tar /",
        f'--customize-hook=chroot "$1" sh /{_SETUP} {ACCOUNT}',
    ]


def _write_disk(root: Path, disk: Path) -> None:
    # As another user than root the owners of files exist only in a namespace of their own.
    helper = () if os.getuid() == 0 else ("mmdebstrap", "--unshare-helper")
    with root.open("rb") as archive, disk.open("wb") as written:
        made = subprocess.run(
            [*helper, "sh", "-c", _TO_DISK],
            check=False,
            stdin=archive,
            stdout=written,
            stderr=subprocess.PIPE,
        )
    if made.returncode != 0:
        said = made.stderr.decode(errors="replace").strip().splitlines()
        raise ControllerError(
            "The virtual machine's disk could not be made: " + "\n".join(said[-4:]),
            hint="It takes some 2 GB below /tmp for a while.",
        )


def _write_kernel(root: Path, made: Path) -> None:
    busybox = Path(_which("busybox") or "").read_bytes()
    if b"ld-linux" in busybox[:_HEADERS]:
        raise ControllerError(
            "The busybox of this box needs libraries, which the RAM disk has not got.",
            hint="apt-get install --no-install-recommends busybox-static",
        )
    with tarfile.open(root) as archive:
        names = [name for name in archive.getnames() if "/boot/vmlinuz-" in f"/{name}"]
        kernel = archive.extractfile(names[0]) if names else None
        if kernel is None:
            raise ControllerError("The virtual machine's image has no kernel.")
        (made / KERNEL).write_bytes(kernel.read())
        (made / INITRD).write_bytes(initrd.make(archive, busybox))


def _which(program: str) -> str | None:
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
