"""What the box's own apt configuration says about mirrors, proxies and dates."""

import re
import shutil
import subprocess
from dataclasses import dataclass

# What a machine is unless another release is asked for.
RELEASE = "trixie"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# Options of the box that hold for its machines too, since they use the same mirrors.
_HANDED_ON = re.compile(r"^Acquire::(https?::|Check-|Retries|ForceIPv)[^;]* \"[^\"]+\";$")
_LOOPBACK = re.compile(r"//(localhost|127\.)")
_ON_LOOPBACK = re.compile(r"//(localhost|127\.[0-9.]+)(?=[:/\"\s]|$)")


@dataclass(frozen=True)
class Archive:
    """One archive of Debian packages: its base URI and the suites to take from it."""

    uri: str
    suites: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it in sources.list form, one line a suite."""
        return [f"deb {self.uri} {suite} main" for suite in self.suites]

    def stanza(self) -> str:
        """Return it in deb822 form."""
        return (
            f"Types: deb\nURIs: {self.uri}\nSuites: {' '.join(self.suites)}\n"
            f"Components: main\nSigned-By: {KEYRING}\n"
        )


def debian_archives(release: str) -> tuple[Archive, ...]:
    """
    Return the mirrors of Debian that the box itself uses, with the suites of the release.

    Empty where the box uses none (Ubuntu): the tools' own defaults then apply.
    """
    form = "$(CREATED_BY)|$(ORIGIN)|$(COMPONENT)|$(CODENAME)|$(REPO_URI)"
    return read_targets(_ask("apt-get", "indextargets", "--format", form), release)


def read_targets(listing: str, release: str) -> tuple[Archive, ...]:
    """Pick the main and the security mirror out of `apt-get indextargets`."""
    found: dict[bool, str] = {}
    for line in listing.splitlines():
        created_by, origin, component, codename, uri = line.split("|", 4)
        # Before the box's first `apt-get update` apt does not know any origin.
        ours = origin == "Debian" or (origin in ("", "$(ORIGIN)") and "/debian" in uri)
        if created_by == "Packages" and component == "main" and ours:
            found.setdefault("security" in codename or "security" in uri, uri.rstrip("/"))
    if False not in found:
        return ()
    archives = [Archive(found[False], (release, f"{release}-updates"))]
    if True in found:
        archives.append(Archive(found[True], (f"{release}-security",)))
    return tuple(archives)


def options(loopback: str = "") -> str:
    """
    Return the box's own proxy and date options, in apt.conf form.

    `loopback` is where a machine finds the box's loopback, if it can.
    """
    return read_options(_ask("apt-config", "dump", "Acquire"), loopback)


def read_options(dump: str, loopback: str = "") -> str:
    """Pick those options out of `apt-config dump` that a machine needs as well."""
    kept = [
        seen_from_a_machine(line, loopback)
        for line in dump.splitlines()
        # A proxy on the box's loopback is nothing a machine could reach.
        if _HANDED_ON.match(line) and (loopback or not _LOOPBACK.search(line))
    ]
    return "".join(f"{line}\n" for line in kept)


def seen_from_a_machine(text: str, loopback: str) -> str:
    """Return the text with addresses on the box's loopback as a machine has to write them."""
    return _ON_LOOPBACK.sub(f"//{loopback}", text) if loopback else text


def _ask(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout
