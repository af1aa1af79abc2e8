"""The RAM disk holds what the kernel needs to find its disk, in the order in which it loads it."""

import io
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from labkit.sandbox.vm import initrd

# As Debian's kernels have it: a module, then what it needs, the deepest last.
DEPENDENCIES = """\
kernel/fs/ext4/ext4.ko.xz: kernel/fs/mbcache.ko.xz kernel/fs/jbd2/jbd2.ko.xz
kernel/fs/mbcache.ko.xz:
kernel/fs/jbd2/jbd2.ko.xz:
kernel/drivers/block/virtio_blk.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/virtio/virtio.ko.xz:
kernel/drivers/virtio/virtio_ring.ko.xz: kernel/drivers/virtio/virtio.ko.xz
kernel/drivers/net/not_virtio_blk.ko.xz:
"""


def test_each_module_comes_after_those_that_it_needs() -> None:
    names = [Path(path).name.partition(".")[0] for path in initrd.needed(DEPENDENCIES)]

    assert names == ["virtio", "virtio_ring", "virtio_blk", "jbd2", "mbcache", "ext4"]


def test_what_is_built_into_the_kernel_is_not_missed() -> None:
    assert initrd.needed("kernel/net/vxlan.ko: kernel/net/udp_tunnel.ko\n") == []


def archive(**files: bytes) -> tarfile.TarFile:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


def test_a_packed_module_is_unpacked_and_a_bare_one_taken_as_it_is() -> None:
    modules = "./usr/lib/modules/6.12/"
    root = archive(
        **{
            f"{modules}modules.dep": b"a/virtio_blk.ko.xz:\na/ext4.ko:\n",
            f"{modules}a/virtio_blk.ko.xz": lzma.compress(b"block"),
            f"{modules}a/ext4.ko": b"ext4",
        }
    )

    assert initrd.read_modules(root) == {"virtio_blk.ko": b"block", "ext4.ko": b"ext4"}


@pytest.mark.skipif(not shutil.which("busybox"), reason="there is no busybox on this box")
def test_another_program_unpacks_what_was_packed(tmp_path: Path) -> None:
    packed = initrd.pack(
        {"bin": (0o040755, b""), "bin/x": (0o100755, b"#!/bin/sh\n"), "y": (0o100755, b"four")}
    )
    subprocess.run(
        ["busybox", "cpio", "-i", "-d"], input=packed, cwd=tmp_path, check=True, capture_output=True
    )

    assert (tmp_path / "bin" / "x").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "bin" / "x").stat().st_mode & 0o111
    assert (tmp_path / "y").read_bytes() == b"four"
