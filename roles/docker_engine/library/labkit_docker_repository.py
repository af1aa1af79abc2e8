#!/usr/bin/python
"""Let apt trust Docker's own repository, and nobody who only claims to be it."""

from __future__ import annotations

import base64
import hashlib
import http.client
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, build_opener

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENTATION = r"""
module: labkit_docker_repository
short_description: Add Docker's apt repository, its key checked by fingerprint
description:
  - Writes a deb822 source and the armoured key it is signed by.
  - Other sources of Docker's packages are removed, since apt refuses one repository with two keys.
options:
  url: {description: Where the repositories of all distributions are., type: str, required: true}
  fingerprint: {description: "Of the only key that is trusted.", type: str, required: true}
  machine: {description: "The facts of preflight.", type: dict, required: true}
  proxy:
    description:
      - Where the class's depot is a proxy for apt. With one, the source is written as http, since a
        proxy sees nothing of https; whatever comes that way, the key signs for it.
    type: str
    default: ""
  https_archives:
    description: Hosts that the depot asks by https; what is https elsewhere goes past it.
    type: list
    elements: str
    default: []
author: [labkit]
"""
EXAMPLES = r"""
- name: Trust Docker's package repository
  labkit_docker_repository:
    url: https://download.docker.com/linux
    fingerprint: 9DC858229FC7DD38854AE2D88D81803C0EBFCD88
    machine: "{{ preflight_machine }}"
"""
RETURN = r"""
removed: {description: Older sources and keys that were in the way., type: list, returned: success}
"""

KEY = Path("/etc/apt/keyrings/docker.asc")
SOURCE = Path("/etc/apt/sources.list.d/docker.sources")
OLD_KEYS = [
    Path("/etc/apt/keyrings/docker.gpg"),
    Path("/etc/apt/trusted.gpg.d/docker.gpg"),
    Path("/etc/apt/trusted.gpg.d/docker.asc"),
    Path("/usr/share/keyrings/docker-archive-keyring.gpg"),
]
PUBLIC_KEY_PACKET = 6


def dearmour(text: str) -> bytes:
    """Return the bytes of an armoured OpenPGP key; a key that is not armoured gives none."""
    block = re.search(
        r"-----BEGIN PGP PUBLIC KEY BLOCK-----.*?\n\s*\n(.*?)\n(?:=[^\n]*\n)?-----END",
        text.replace("\r", ""),
        re.DOTALL,
    )
    return base64.b64decode(block[1]) if block else b""


def packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    """
    Yield tag and body of each OpenPGP packet (RFC 9580, section 4.2).

    Raises:
        ValueError: The data does not consist of whole packets of known length.
    """
    at = 0
    while at < len(data):
        head, at = data[at], at + 1
        if head & 0x40:  # the newer form
            tag, first, at = head & 0x3F, data[at], at + 1
            if first < 192:  # noqa: PLR2004  (192, 224 and 255 are RFC 9580's own)
                size = first
            elif first < 224:  # noqa: PLR2004
                size, at = ((first - 192) << 8) + data[at] + 192, at + 1
            elif first == 255:  # noqa: PLR2004
                size, at = int.from_bytes(data[at : at + 4], "big"), at + 4
            else:
                raise ValueError("a packet in parts")
        else:
            tag, width = head >> 2 & 0x0F, 1 << (head & 3)
            if not head & 0x80 or width == 8:  # noqa: PLR2004  (8 would mean: up to the end)
                raise ValueError("no OpenPGP packet")
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        yield tag, data[at : at + size]
        at += size
    if at != len(data):
        raise ValueError("cut short")


def fingerprints(armoured: str) -> list[str]:
    """
    Return the fingerprints of all primary keys (version 4) in an armoured file.

    All of them, because apt trusts whatever key the file holds.
    """
    try:
        found = [body for tag, body in packets(dearmour(armoured)) if tag == PUBLIC_KEY_PACKET]
    except (ValueError, IndexError):
        return []
    return [
        hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body, usedforsecurity=False)
        .hexdigest()
        .upper()
        for body in found
    ]


def in_the_way(url: str) -> list[Path]:
    """Return the sources that name Docker's or this repository, and the keys they used."""
    # By whichever protocol: it depends on the class's depot.
    names = {url.rstrip("/").partition("://")[2], "download.docker.com/linux"}
    sources = [
        path
        for path in sorted(SOURCE.parent.glob("*"))
        if path.suffix in {".list", ".sources"}
        and path != SOURCE
        and any(name in path.read_text(errors="replace") for name in names)
    ]
    return sources + [path for path in OLD_KEYS if path.exists()]


def through(proxy: str, address: str) -> str:
    """Return a page that the depot fetched, "" where it could not."""
    try:
        with build_opener(ProxyHandler({"http": proxy})).open(address, timeout=30) as answer:
            return str(answer.read().decode(errors="replace"))
    except (OSError, http.client.HTTPException):
        return ""


def fetch_key(module: AnsibleModule) -> str:
    """Return the repository's key, if it is the one that was asked for and no other."""
    address = f"{module.params['url'].rstrip('/')}/{module.params['machine']['distribution']}/gpg"
    expected = module.params["fingerprint"].replace(" ", "").upper()
    proxy, plain = module.params["proxy"], by_the_depot(address, module.params["https_archives"])
    if proxy and plain and fingerprints(key := through(proxy, plain)) == [expected]:
        return key
    try:
        key = open_url(address, timeout=30).read().decode(errors="replace")
    except (URLError, OSError) as error:
        module.fail_json(msg=f"Docker's key cannot be fetched from {address}: {error}")
    if fingerprints(key) != [expected]:
        seen = ", ".join(fingerprints(key)) or "no OpenPGP key"
        module.fail_json(
            msg=f"{address} is not signed for by the key that is trusted: expected {expected}, "
            f"seen {seen}. Nothing was changed"
        )
    return str(key)


def by_the_depot(url: str, https_archives: list[str]) -> str:
    """
    Return a URL as the depot is asked for it, without TLS; "" where it could only be asked with.

    The depot itself asks by https those hosts alone that it was told of.
    """
    if not url.startswith("https:"):
        return url
    known = urlsplit(url).netloc.lower() in {host.lower() for host in https_archives}
    return url.replace("https:", "http:", 1) if known else ""


def source_text(url: str, machine: dict[str, str]) -> str:
    """Return the repository as a deb822 source."""
    return (
        f"Types: deb\nURIs: {url.rstrip('/')}/{machine['distribution']}\n"
        f"Suites: {machine['codename']}\nComponents: stable\n"
        f"Architectures: {machine['architecture']}\nSigned-By: {KEY}\n"
    )


def main() -> None:
    """Fetch the key only if the one that is here is not the right one."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "fingerprint": {"type": "str", "required": True, "no_log": False},
            "machine": {"type": "dict", "required": True},
            "proxy": {"type": "str", "default": ""},
            "https_archives": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    url, machine = module.params["url"], module.params["machine"]
    plain = by_the_depot(url, module.params["https_archives"]) if module.params["proxy"] else ""
    wanted = {SOURCE: source_text(plain or url, machine)}
    known = fingerprints(KEY.read_text(errors="replace")) if KEY.exists() else []
    if known != [module.params["fingerprint"].replace(" ", "").upper()]:
        wanted = {KEY: fetch_key(module), **wanted}
    stale = {path: text for path, text in wanted.items() if not same(path, text)}
    removed = in_the_way(url)
    if not module.check_mode:
        for path in removed:
            path.unlink()
        for path, text in stale.items():
            path.parent.mkdir(mode=0o755, exist_ok=True)
            path.write_text(text)
            path.chmod(0o644)
    module.exit_json(changed=bool(stale or removed), removed=[str(path) for path in removed])


def same(path: Path, text: str) -> bool:
    """Tell whether the file holds this text already."""
    return path.exists() and path.read_text(errors="replace") == text


if __name__ == "__main__":
    main()
