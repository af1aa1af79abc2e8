"""An image's name: which registry, which repository, which tag or digest."""

import re
from typing import NamedTuple

from labkit.errors import BadInput

HUB = "docker.io"
HUBS_OWN = (HUB, "index.docker.io")
# https://github.com/distribution/reference/blob/main/regexp.go, without the most unusual forms.
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
SHAPE = re.compile(
    rf"(?:(?P<host>[A-Za-z0-9.-]+\.[A-Za-z0-9.-]+(?::\d+)?|[A-Za-z0-9.-]+:\d+|localhost)/)?"
    rf"(?P<path>{PART}(?:/{PART})*)(?::(?P<tag>[\w][\w.-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


class Name(NamedTuple):
    """
    A reference, taken apart as Docker does it.

    `path` is the repository at its own registry; `wanted` is what to ask for there, the digest
    where the reference has one.
    """

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def wanted(self) -> str:
        """The digest, or the tag where there is none."""
        return self.digest or self.tag

    @property
    def repository(self) -> str:
        """Where the depot keeps it: mirrors serve the Hub's names only, so others go below them."""
        if self.registry == HUB:
            return self.path
        # A colon has no place in a repository's name.
        return f"{self.registry.replace(':', '_').lower()}/{self.path}"


def read_name(reference: str) -> Name:
    """
    Return what a reference stands for.

    Raises:
        BadInput: It is none.
    """
    found = SHAPE.fullmatch(reference)
    if not found:
        raise BadInput(f"{reference!r} is no image's name", "write it as docker pull takes it")
    host, path = found["host"] or HUB, found["path"]
    if host in HUBS_OWN:
        host, path = HUB, path if "/" in path else f"library/{path}"
    digest = found["digest"] or ""
    return Name(host, path, found["tag"] or ("" if digest else "latest"), digest)
