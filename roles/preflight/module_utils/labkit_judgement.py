"""What is wrong with a machine that was looked at, and what the instructor can do about it."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
from typing import Any

from ansible.module_utils.labkit_routes import (
    Server,
    apt_proxies,
    apt_urls,
    first_hop,
    server_of,
    unreachable,
)

Problem = dict[str, str]

SUPPORTED = {"debian": ("12", "13"), "ubuntu": ("22.04", "24.04", "26.04")}

# What the continuous integration runs on, as distribution, release and source of the engine.
TESTED = (
    ("debian", "12", "docker"),
    ("debian", "13", "distribution"),
    ("debian", "13", "docker"),
)
TESTED_ARCHITECTURE = "amd64"

# What is needed beside the images once the engine is there. The role images
# weighs what is still to come exactly; here a re-run must not be refused.
LEFT_MB = 300

OLDEST_PYTHON = (3, 10)
OLDEST_MONGO_WITH_AVX = 5
# HOST_NAME_MAX of Linux.
LONGEST_NAME = 64

_OWN_KERNEL = "boot the kernel that Debian or Ubuntu ship; in a container, ask the box's owner"
_FEATURES = {
    "overlay": ("the engine keeps images with it", _OWN_KERNEL),
    "bridge": ("the engine's networks are bridges", _OWN_KERNEL),
    "veth": ("it connects containers to networks", _OWN_KERNEL),
    "iptables": ("published ports need it", _OWN_KERNEL),
    "vxlan": ("a swarm's overlay networks need it", _OWN_KERNEL),
    "ipvs": (
        "a swarm's routing mesh and virtual addresses need it",
        f"{_OWN_KERNEL}; or do without the mesh: swarm_node_mesh: false",
    ),
}


def problem(what: str, todo: str) -> Problem:
    """Return one thing that is wrong, and what the instructor can do about it."""
    return {"what": what, "todo": todo}


def judge_system(machine: dict[str, Any], engine_source: str) -> list[Problem]:
    """Return what is wrong with distribution, architecture, init and Python."""
    found = []
    name, release = machine["distribution"], machine["release"]
    if release not in SUPPORTED.get(name, ()):
        found.append(
            problem(
                f"{name} {release or '(no release)'} is not supported",
                "use Debian 12 or 13, or Ubuntu 22.04, 24.04 or 26.04",
            )
        )
    if machine["architecture"] not in {"amd64", "arm64"}:
        found.append(
            problem(f"its processor is {machine['architecture']}", "use an amd64 or arm64 machine")
        )
    if (name, release, engine_source) == ("debian", "12", "distribution"):
        found.append(
            problem(
                "Debian 12 itself has no Compose v2, so its own packages will not do",
                "set docker_engine_source: docker (Docker's own packages), or use Debian 13",
            )
        )
    if not machine["systemd"]:
        found.append(problem("systemd is not running it", "use a machine that boots with systemd"))
    if tuple(map(int, machine["python"].split(".")[:2])) < OLDEST_PYTHON:
        found.append(
            problem(
                f"its Python is {machine['python']}",
                "set ansible_python_interpreter to a Python 3.10 or later on it",
            )
        )
    return found


def untested(machine: dict[str, Any], engine_source: str) -> list[str]:
    """Return a note for a machine of a kind that is supported, but on which no test runs."""
    name, release = machine["distribution"], machine["release"]
    kind = (name, release, engine_source)
    if kind in TESTED and machine["architecture"] == TESTED_ARCHITECTURE:
        return []
    here = f"{name} {release} on {machine['architecture']}, its engine from {engine_source}"
    return [f"supported, but no test of labkit's own runs on such a machine: {here}"]


def judge_size(machine: dict[str, Any], wanted: dict[str, Any]) -> list[Problem]:
    """Return where memory or disk are too small for what is to come."""
    found = []
    if machine["memory_mb"] < wanted["memory_mb"]:
        found.append(
            problem(
                f"{machine['memory_mb']} MiB of memory, {wanted['memory_mb']} needed",
                "give it more memory, or lower preflight_memory_mb",
            )
        )
    docker, root = wanted["docker_disk_mb"], wanted["root_disk_mb"]
    if machine["engine"]:
        docker = root = LEFT_MB
    if machine["one_disk"]:
        docker, root = docker + root, 0
    for path, free, needed, name in (
        ("/var/lib/docker", machine["disk_free_mb"], docker, "docker"),
        ("/", machine["root_free_mb"], root, "root"),
    ):
        if free < needed:
            found.append(
                problem(
                    f"{free} MiB free on the file system of {path}, {needed} needed",
                    f"free some, give it a larger disk, or lower preflight_{name}_disk_mb",
                )
            )
    return found


def judge_identity(machine: dict[str, Any], host_name: str) -> list[Problem]:
    """Return what is wrong with the name it is to have, and with its machine-id."""
    found = []
    if not is_host_name(host_name):
        found.append(
            problem(
                f"{host_name!r} cannot be a host name",
                "name it in the inventory with letters, digits and hyphens"
                " (NAME ansible_host=ADDRESS), or set base_hostname",
            )
        )
    if not re.fullmatch(r"[0-9a-f]{32}", machine["machine_id"]):
        found.append(
            problem(
                "/etc/machine-id is missing, empty or damaged",
                "run systemd-machine-id-setup on it and restart it",
            )
        )
    return found


def judge_clock(ahead: float, limit: int) -> list[Problem]:
    """Return whether the machine's clock is too many seconds ahead of the controller's."""
    if abs(ahead) <= limit:
        return []
    direction = "ahead of" if ahead > 0 else "behind"
    return [
        problem(
            f"its clock is about {abs(ahead):.0f} s {direction} this controller's",
            "set the wrong one of the two (timedatectl set-ntp true); packages and"
            " certificates are refused by a wrong clock",
        )
    ]


def judge_kernel(answers: dict[str, str], wanted: list[str]) -> list[Problem]:
    """Return the wanted features that did not work, with the kernel's own answer."""
    found = []
    for name in wanted:
        answer = answers.get(name, "it is unknown to labkit")
        why, todo = _FEATURES.get(name, ("preflight_features asks for it", "correct that list"))
        if answer:
            title = "IPVS" if name == "ipvs" else name
            found.append(
                problem(f"no {title} in its kernel, but {why}; it answered: {answer}", todo)
            )
    return found


def judge_processor(machine: dict[str, Any], images: list[str]) -> list[Problem]:
    """Return the MongoDB images that this processor cannot run."""
    if machine["architecture"] != "amd64" or machine["avx"]:
        return []
    return [
        problem(
            f"its processor has no AVX, which {image} needs",
            "set the virtual machine's processor type to host, or use mongo:4.4",
        )
        for image in images
        if needs_avx(image)
    ]


def needs_avx(reference: str) -> bool:
    """Return whether it is a MongoDB image of version 5 or later (docker-library/mongo #485)."""
    found = re.search(r"(?:^|/)mongo(?:db-community-server)?(?::(\d*)[^/]*)?(?:@.*)?$", reference)
    return found is not None and int(found[1] or 99) >= OLDEST_MONGO_WITH_AVX


def is_host_name(name: str) -> bool:
    """Return whether the name fits RFC 1123 and cannot be taken for an address."""
    label = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return (
            len(name) <= LONGEST_NAME
            and re.fullmatch(rf"{label}(?:\.{label})*", name, re.IGNORECASE) is not None
        )
    return False


def judge_routes(wanted: dict[str, Any], *, directly: bool = True) -> list[Problem]:
    """
    Return the servers that will be needed and cannot be reached; takes a few seconds at most.

    A machine that has all from the depot, and nothing directly, needs none of them. None is asked
    for where a connection may take no time at all.
    """
    if not wanted["route_seconds"]:
        return []
    archives = apt_urls()
    apt = apt_proxies()
    engine = {kind.removesuffix("-proxy"): url for kind, url in wanted["registry_proxies"].items()}
    hops: dict[Server, tuple[str, str]] = {}
    for urls, proxies, way_out in (
        (archives, apt, "name another mirror or a proxy in its apt configuration"),
        (wanted["package_urls"], apt, "set docker_engine_source: distribution"),
        (wanted["registry_urls"], engine, "name a mirror: docker_engine_daemon: registry-mirrors"),
    ):
        for url in urls:
            if hop := first_hop(url, proxies):
                hops.setdefault(hop, (url, way_out))
    found = (
        [] if archives else [problem("apt has no source", "name one in /etc/apt/sources.list.d")]
    )
    for hop, reason in unreachable(hops if directly else (), wanted["route_seconds"]).items():
        found.append(_missing_route(hop, reason, *hops[hop]))
    return found


def _missing_route(hop: Server, reason: str, url: str, way_out: str) -> Problem:
    what = f"cannot reach {hop.host}:{hop.port}: {reason}"
    if hop != server_of(url):
        what = f"cannot reach the proxy {hop.host}:{hop.port} for {url}: {reason}"
    if reason.startswith("DNS"):
        todo = "mend the name or its name servers (/etc/resolv.conf)"
    elif reason == os.strerror(errno.ECONNREFUSED):
        todo = "start what should answer there"
    else:
        todo = f"let it out to TCP port {hop.port}"
    return problem(what, f"{todo}; or {way_out}")


def sentence(problems: list[Problem]) -> str:
    """Return all problems as one message, a line each."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    lines = [f"- {found['what']}\n  -> {found['todo']}" for found in problems]
    return "\n".join([f"{count} to solve first (nothing was touched):", *lines])
