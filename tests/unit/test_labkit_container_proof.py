"""The container that needs no registry."""

import io
import runpy
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

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


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have `docker` be a script in which $n is the number of the call."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setitem(proof.run.__globals__, "PAUSE_SECONDS", 0)

    def write(script: str) -> None:
        program = tmp_path / "docker"
        count = f"echo >>{tmp_path}/calls; n=$(wc -l <{tmp_path}/calls)"
        program.write_text(f"#!/bin/sh\n{count}\n{script}\n")
        program.chmod(0o700)

    return write


def test_a_container_that_starts_at_once_needs_no_note(docker: Callable[[str], None]) -> None:
    docker('[ "$n" = 1 ] && echo word')

    assert proof.run("image", "word") == ("word", [])


def test_a_container_that_the_engine_lost_is_tried_once_more_and_told(
    docker: Callable[[str], None],
) -> None:
    docker('[ "$n" = 2 ] && echo word || { echo "connection reset" >&2; exit 125; }')

    said, [note] = proof.run("image", "word")

    assert said == "word"
    assert note.endswith("connection reset")


def test_an_engine_that_starts_nothing_is_told_in_its_own_words(
    docker: Callable[[str], None],
) -> None:
    docker('echo "call $n" >&2; exit 125')

    with pytest.raises(subprocess.CalledProcessError) as failed:
        proof.run("image", "word")

    assert failed.value.stderr.decode() == "call 2\n"
