"""The smallest initial RAM disk: what a kernel needs until it finds the machine's disk."""

import lzma
import re
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath

# What the disk hangs on, as far as it is not built into the kernel.
_NEEDED = ("virtio_pci", "virtio_blk", "ext4")

# Told on the console: a kernel that never comes so far hangs.
KERNEL_IS_UP = "labkit: the kernel is up"

_INIT = f"""#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
echo "{KERNEL_IS_UP}" >/dev/console
for module in $(/bin/busybox cat /modules); do /bin/busybox insmod "/lib/$module"; done
tries=0
until [ -b /dev/vda ] || [ $tries -eq 100 ]; do /bin/busybox sleep 0.1; tries=$((tries + 1)); done
/bin/busybox mount -t ext4 -o noatime,noinit_itable /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
"""

_DIRECTORY, _FILE, _NODE = 0o040755, 0o100755, 0o020600


def make(root: tarfile.TarFile, busybox: bytes) -> bytes:
    """Return the RAM disk for the kernel whose modules are in the archive of a root."""
    modules = read_modules(root)
    folders = dict.fromkeys(("bin", "dev", "lib", "root"), (_DIRECTORY, b""))
    files = {
        "bin/busybox": (_FILE, busybox),
        "init": (_FILE, _INIT.encode()),
        "modules": (_FILE, " ".join(modules).encode()),
        **{f"lib/{name}": (_FILE, content) for name, content in modules.items()},
    }
    return pack({**folders, "dev/console": (_NODE, b""), **files})


def read_modules(root: tarfile.TarFile) -> dict[str, bytes]:
    """Return the modules that the disk needs, by file name, each after those that it needs."""
    names = {name.removeprefix("./"): name for name in root.getnames()}
    listed = next(name for name in names if name.endswith("/modules.dep"))
    folder = PurePosixPath(listed).parent
    found = {}
    for path in needed(_read(root, names[listed]).decode()):
        content = _read(root, names[str(folder / path)])
        name = PurePosixPath(path).name
        found[name.removesuffix(".xz")] = (
            lzma.decompress(content) if name.endswith(".xz") else content
        )
    return found


def needed(dependencies: str) -> list[str]:
    """Return the paths of modules to load, in this order, from the text of modules.dep."""
    after = {}
    for line in dependencies.splitlines():
        path, _, others = line.partition(":")
        after[path] = others.split()
    found: dict[str, None] = {}
    for name in _NEEDED:
        wanted = re.compile(rf"(.*/)?{name}\.ko(\.\w+)?")
        for path in (path for path in after if wanted.fullmatch(path)):
            # A line names what is needed directly and behind it, the deepest last.
            found |= dict.fromkeys([*reversed(after[path]), path])
    return list(found)


def pack(entries: Mapping[str, tuple[int, bytes]]) -> bytes:
    """
    Return entries of (mode, content) as the kernel unpacks them: a cpio archive, "newc".

    https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
    """
    packed = bytearray()
    for number, (name, (mode, content)) in enumerate([*entries.items(), ("TRAILER!!!", (0, b""))]):
        # /dev/console is device 5:1.
        device = (5, 1) if mode == _NODE else (0, 0)
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        packed += _padded(header + name.encode() + b"\0") + _padded(content)
    return bytes(packed)


def _padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % 4)


def _read(root: tarfile.TarFile, name: str) -> bytes:
    member = root.extractfile(name)
    assert member is not None, name  # noqa: S101 - modules are files, or the kernel's package is broken
    return member.read()
