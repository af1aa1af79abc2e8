"""The servers a machine will need, and whether a TCP connection to each can be made."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PORTS = {"http": 80, "https": 443}


class Server(NamedTuple):
    """One end of a connection: a name or address, and a TCP port."""

    host: str
    port: int


def server_of(url: str) -> Server | None:
    """Return where an http or https URL leads to, or None for any other kind (file, mirror …)."""
    parts = urlsplit(url if re.match(r"[\w+.-]+:/", url) else f"http://{url}")
    if parts.scheme not in _PORTS or not parts.hostname:
        return None
    return Server(parts.hostname, parts.port or _PORTS[parts.scheme])


def apt_urls() -> list[str]:
    """Return one URL for each server that the machine's own apt sources name."""
    listed = _output("apt-get", "update", "--print-uris")
    urls = re.findall(r"^'(https?://[^']+)'", listed, re.MULTILINE)
    return list({server_of(url): url for url in reversed(urls)}.values())


def apt_proxies() -> dict[str, str]:
    """Return apt's own proxies by scheme, as `apt-config dump` tells them."""
    found = re.findall(
        r'^Acquire::(https?)::Proxy "([^"]+)";',
        _output("apt-config", "dump"),
        re.MULTILINE | re.IGNORECASE,
    )
    return {scheme.lower(): url for scheme, url in found}


def first_hop(url: str, proxies: Mapping[str, str]) -> Server | None:
    """
    Return the server the machine itself connects to for a URL: a proxy, where one applies.

    The proxies given come first, then the environment's (`https_proxy`, `no_proxy`).
    """
    target = server_of(url)
    if target is None or os.environ.get("no_proxy") == "*":
        return target
    if proxy_bypass(target.host):
        return target
    scheme = urlsplit(url).scheme
    proxy = {**getproxies_environment(), **proxies}.get(scheme, "DIRECT")
    return target if proxy.upper() == "DIRECT" else server_of(proxy)


def unreachable(servers: Iterable[Server], seconds: float) -> dict[Server, str]:
    """
    Try all servers at once for at most so many seconds; return those that failed, with the reason.

    A name that does not resolve has a reason that starts with "DNS".
    """
    reasons = dict.fromkeys(servers, f"no answer within {seconds:g} s")

    def connect(server: Server) -> None:
        try:
            socket.create_connection(server, timeout=seconds).close()
            reasons[server] = ""
        except socket.gaierror as error:
            reasons[server] = f"DNS: {error.strerror}"
        except OSError as error:
            reasons[server] = error.strerror or str(error)

    # Daemons, since a resolver that hangs must not hold up the report.
    threads = [threading.Thread(target=connect, args=[s], daemon=True) for s in list(reasons)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds + 0.2
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {server: reason for server, reason in reasons.items() if reason}


def resolve(address: str) -> str:
    """
    Return the address itself, or the first one that a name stands for, IPv4 before IPv6.

    Raises:
        OSError: The name does not resolve; the message says what to set.
    """
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(
            f"this machine cannot resolve {address} ({error.strerror});"
            " set ansible_host or seat_address of that machine to an address"
        ) from error
    return str(min(found, key=lambda entry: entry[0])[4][0])


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
