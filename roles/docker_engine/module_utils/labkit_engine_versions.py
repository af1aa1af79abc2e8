"""Which packages make a Docker engine, and in which versions."""

from __future__ import annotations

import re

# The first of each list is the engine.
PACKAGES = {
    ("distribution", "debian"): [
        "docker.io", "docker-cli", "containerd", "runc", "docker-buildx", "docker-compose",
    ],
    ("distribution", "ubuntu"): [
        "docker.io", "containerd", "runc", "docker-buildx", "docker-compose-v2",
    ],
    ("docker", ""): [
        "docker-ce", "docker-ce-cli", "containerd.io", "docker-buildx-plugin",
        "docker-compose-plugin",
    ],
}  # fmt: skip
# These have the version that is asked for; the others have versions of their own.
ENGINE = {"docker.io", "docker-cli", "docker-ce", "docker-ce-cli"}
IN_THE_WAY = {"podman-docker", "docker-ce-rootless-extras", "docker-compose", "docker-engine"}


class Refusal(Exception):
    """No version fits; the text names those that are known."""


def packages_of(source: str, distribution: str, release: str) -> list[str]:
    """
    Return the names of the packages that make the engine complete.

    Raises:
        Refusal: The distribution has no Compose v2 that could be installed.
    """
    if source == "distribution" and (distribution, release) == ("debian", "12"):
        raise Refusal(
            "Debian 12 has no Compose v2 of its own; "
            "set docker_engine_source: docker for this machine"
        )
    return PACKAGES["docker", ""] if source == "docker" else PACKAGES[source, distribution]


def in_the_way(wanted: list[str]) -> list[str]:
    """Return the packages that must not be installed beside those wanted."""
    known = {name for names in PACKAGES.values() for name in names} | IN_THE_WAY
    return sorted(known - set(wanted))


def fits(version: str, prefix: str) -> bool:
    """
    Tell whether a Debian version is of the release that the prefix names.

    "28.5" fits "5:28.5.2-1~debian.13~trixie" and "28.5.2+dfsg1-1", but not "28.51.0".
    An empty prefix names no release in particular.
    """
    upstream = version.split(":", 1)[-1]
    return not prefix or any(
        text == prefix or re.match(re.escape(prefix) + r"(?!\d)", text)
        for text in (version, upstream)
    )


def read_policy(text: str) -> dict[str, tuple[str, list[str]]]:
    """Return candidate ("" if none) and versions, newest first, from `apt-cache policy`."""
    found: dict[str, tuple[str, list[str]]] = {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        name = block.partition(":\n")[0]
        candidate = re.search(r"^  Candidate: (\S+)$", block, re.MULTILINE)
        if candidate:
            versions = re.findall(r"^ (?:\*\*\*|   ) (\S+) ", block, re.MULTILINE)
            found[name] = ("" if candidate[1] == "(none)" else candidate[1], versions)
    return found


def choose(name: str, known: tuple[str, list[str]], prefix: str, preferred: str) -> str:
    """
    Return the version of one package: the preferred, the candidate or the newest that fits.

    Raises:
        Refusal: None of those known fits.
    """
    candidate, versions = known
    for version in [preferred, candidate, *versions]:
        if version in versions and fits(version, prefix):
            return version
    listed = ", ".join(versions) or "none"
    asked = f" {prefix}" if prefix else ""
    raise Refusal(f"No package {name}{asked} can be installed here; apt knows: {listed}")


def choose_all(
    names: list[str],
    policy: dict[str, tuple[str, list[str]]],
    prefix: str,
    sets: list[dict[str, str]],
) -> dict[str, str]:
    """
    Return the version of each package.

    A class does not change its engine because the archive got a newer one: the first of
    the sets (what the class's lock says, what is held here) whose engine fits is taken.
    It is taken whole or not at all: an engine is asked for with what belongs to it.
    """
    engine = names[0]
    none: tuple[str, list[str]] = ("", [])
    usable = [
        chosen
        for chosen in sets
        if chosen.get(engine) in policy.get(engine, none)[1] and fits(chosen[engine], prefix)
    ]
    preferred = usable[0] if usable else {}
    return {
        name: choose(
            name,
            policy.get(name, none),
            prefix if name in ENGINE else "",
            preferred.get(name, ""),
        )
        for name in names
    }
