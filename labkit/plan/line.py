"""How fast the class's line to the registries is just now, and what else it will carry."""

import http.client
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from labkit.depot.stock.names import read_name
from labkit.depot.stock.upstream import registry_of
from labkit.errors import LabkitError
from labkit.plan.sizes import Sized
from labkit.post import Lost

SAMPLE_SECONDS = 3
MB = 10**6
# An estimate, in MB for each machine. Debian 13's own engine (docker.io 36, containerd 26,
# runc 3) with as much again for CLI, buildx and Compose; apt's indices, 25 MB in jpetazzo's
# container training for one `apt-get update`, once for the machine and once for the apps'
# builds; the modules in todo/package-lock.json, as npm's cache keeps them after `npm ci`.
ENGINE_MB, INDICES_MB, NPM_MB = 130, 25, 28
PACKAGES_SOURCE = (
    f"an estimate: engine {ENGINE_MB} MB, apt's indices 2 x {INDICES_MB} MB, npm {NPM_MB} MB, of "
    "machines without an engine: for each without a depot, for each distribution with one"
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Bytes per second, measured where; or 0, and `told` says why it is not known."""

    rate: float
    told: str

    def minutes(self, amount: int) -> float | None:
        """Return what so many bytes take; None if nobody knows."""
        return amount / self.rate / 60 if self.rate else None


def packages(systems: Collection[str], *, once: bool) -> int:
    """Return the bytes of packages and modules: for each machine, or once for each system."""
    apt = (ENGINE_MB + 2 * INDICES_MB) * MB
    if once:
        return len(set(systems)) * apt + (NPM_MB * MB if systems else 0)
    return len(systems) * (apt + NPM_MB * MB)


def measure(
    image: Sized | None,
    upstreams: Mapping[str, str],
    where: str,
    ask: Callable[[Mapping[str, Any]], Mapping[str, Any]],
) -> Speed:
    """Have one machine fetch the start of an image's largest blob, and throw it away."""
    if image is None:
        return Speed(0, "not measured: there is nothing to fetch, or no registry tells its size")
    try:
        got = ask({"sample": {**_place(image, upstreams), "seconds": SAMPLE_SECONDS}})
    except (LabkitError, Lost) as error:
        return Speed(0, f"not measured: {error}")
    amount, seconds = got["bytes"], got["seconds"]
    if not amount:
        return Speed(0, f"not measured: nothing came within {seconds:.1f} s")
    return Speed(
        amount / seconds,
        f"an estimate: {amount / MB:.1f} MB of {image.reference} came to {where} "
        f"in {seconds:.1f} s, while nobody else fetched",
    )


def _place(image: Sized, upstreams: Mapping[str, str]) -> dict[str, Any]:
    """Return where the largest blob lies: the Hub leads elsewhere, where no token is needed."""
    name = read_name(image.reference)
    largest = max(image.blobs, key=lambda blob: image.blobs[blob])

    def read(answer: http.client.HTTPResponse) -> str:
        return answer.url

    url = registry_of(name, upstreams).ask(
        f"{name.path}/blobs/{largest}",
        "a sample",
        headers=lambda: {"Range": "bytes=0-0"},
        read=read,
    )
    return {"url": url, "headers": {"User-Agent": "labkit"}}
