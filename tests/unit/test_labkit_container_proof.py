"""The container that needs no registry."""

import io
import runpy
import tarfile
from pathlib import Path
from types import SimpleNamespace

ROLE = Path(__file__).parents[2] / "roles/docker_engine"
proof = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_container_proof.py")))

LISTING = """\
\tlinux-vdso.so.1 (0x00007ffd3e7f2000)
\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f3a8e400000)
\t/lib64/ld-linux-x86-64.so.2 (0x00007f3a8e6f5000)
"""


def test_the_libraries_are_those_with_a_file() -> None:
    assert proof.libraries(LISTING) == [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib64/ld-linux-x86-64.so.2",
    ]
    assert proof.libraries("\tnot a dynamic executable\n") == []


def test_the_image_holds_the_program_and_nothing_that_is_not_needed() -> None:
    with tarfile.open(fileobj=io.BytesIO(proof.image("/bin/echo", ""))) as archive:
        assert archive.getnames() == ["echo"]
        assert archive.getmember("echo").isreg()
