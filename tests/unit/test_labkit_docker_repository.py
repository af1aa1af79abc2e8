"""Whose packages apt trusts."""

import base64
import hashlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from depots import answering

ROLE = Path(__file__).parents[2] / "roles/docker_engine"
repository = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_docker_repository.py")))


def old_packet(tag: int, body: bytes) -> bytes:
    return bytes([0x80 | tag << 2 | 1]) + len(body).to_bytes(2, "big") + body


def new_packet(tag: int, body: bytes) -> bytes:
    size = len(body) - 192
    return bytes([0xC0 | tag, (size >> 8) + 192, size & 0xFF]) + body


def armour(data: bytes) -> str:
    text = base64.encodebytes(data).decode()
    return (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\n"
        f"{text}=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )


KEY, OTHER = b"\x04" + b"k" * 300, b"\x04" + b"o" * 300
USER, SUBKEY = old_packet(13, b"Docker"), old_packet(14, b"\x04" + b"s" * 300)


def fingerprint(body: bytes) -> str:
    digest = hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
    return digest.hexdigest().upper()


@pytest.mark.parametrize("packet", [old_packet, new_packet])
def test_the_fingerprint_is_that_of_the_primary_key(packet: object) -> None:
    assert callable(packet)
    text = armour(packet(6, KEY) + USER + SUBKEY)

    assert repository.fingerprints(text) == [fingerprint(KEY)]


def test_a_second_key_in_the_file_does_not_hide() -> None:
    text = armour(old_packet(6, KEY) + USER + old_packet(6, OTHER))

    assert repository.fingerprints(text) == [fingerprint(KEY), fingerprint(OTHER)]


@pytest.mark.parametrize(
    "text", ["", "<html>not found</html>", armour(b"garbage"), armour(b"\x99")]
)
def test_what_is_no_key_has_no_fingerprint(text: str) -> None:
    assert repository.fingerprints(text) == []


def test_a_key_cut_short_has_no_fingerprint() -> None:
    assert repository.fingerprints(armour(old_packet(6, KEY)[:-9])) == []


def test_the_source_names_the_key_that_signs_it() -> None:
    machine = {"distribution": "debian", "codename": "trixie", "architecture": "amd64"}

    text = repository.source_text("https://download.docker.com/linux/", machine)

    assert "URIs: https://download.docker.com/linux/debian\n" in text
    assert "Suites: trixie\n" in text
    assert "Signed-By: /etc/apt/keyrings/docker.asc\n" in text


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://download.docker.com/linux", "http://download.docker.com/linux"),
        ("http://192.0.2.1:8000", "http://192.0.2.1:8000"),
        # The depot would ask this one without TLS, too.
        ("https://mirror.example/docker", ""),
        ("https://download.docker.com:8443/linux", ""),
    ],
)
def test_a_depot_is_asked_without_tls_for_what_it_asks_with(url: str, asked: str) -> None:
    assert repository.by_the_depot(url, ["download.docker.com"]) == asked


def test_the_key_comes_through_the_depot() -> None:
    with answering("the key") as proxy:
        assert repository.through(proxy, "http://nowhere.invalid/gpg") == "the key"
    assert repository.through(proxy, "http://nowhere.invalid/gpg") == ""
