"""What a depot's store holds, and whether it is what it says."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from labkit.depot.stock.account import account
from labkit.depot.stock.store import Store, children, digest_of
from labkit.depot.stock.told import Teller


def look(task: Mapping[str, Any], store: Store, teller: Teller) -> dict[str, Any]:
    """
    Return `tags` (repository → tag → digest), `held` (repository → digests), bytes, and account.

    `held` are the manifests of which all blobs are there. `damaged` has a `digest`, what is `wrong`
    with it, and the `images` that need it. With `verify` in the task all bytes are read: only so is
    found what was altered in its place.
    """
    blobs = {blob.digest: blob.size for blob in store.blobs()}
    wrong = _altered(store, teller, blobs) if task.get("verify") else {}
    usage = shutil.disk_usage(store.root)
    return {
        **account(Path(task["directory"])),
        "there": True,
        **entered(store, blobs, wrong),
        "blobs": len(blobs),
        "bytes": sum(blobs.values()),
        "free": usage.free,
    }


def entered(
    store: Store, blobs: Mapping[str, int], wrong: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """
    Return `tags`, `held` and `damaged` of a store.

    `blobs` has the size of each that is there, `wrong` what else is known against some.
    """
    tags: dict[str, dict[str, str]] = {}
    held: dict[str, list[str]] = {}
    damaged: dict[str, dict[str, Any]] = {}
    named: dict[str, set[str]] = {}
    for repository, kind, digest in store.links():
        if kind == "revisions":
            named.setdefault(repository, set()).add(digest)
        elif kind.startswith("tags/"):
            tags.setdefault(repository, {})[kind.removeprefix("tags/")] = digest
    for repository, digests in named.items():
        for digest in sorted(digests):
            lacking = _lacking(store, digest, digests, blobs, wrong)
            if not lacking:
                held.setdefault(repository, []).append(digest)
            for one, why in lacking.items():
                entry = damaged.setdefault(one, {"digest": one, "wrong": why, "images": []})
                if repository not in entry["images"]:
                    entry["images"].append(repository)
    return {"tags": tags, "held": held, "damaged": list(damaged.values())}


def _altered(store: Store, teller: Teller, blobs: Mapping[str, int]) -> dict[str, str]:
    teller.total = sum(blobs.values())
    return {
        digest: f"its bytes are those of {found}"
        for digest in blobs
        if (found := digest_of(store.blob(digest), teller.count)) != digest
    }


def _lacking(
    store: Store,
    digest: str,
    digests: set[str],
    blobs: Mapping[str, int],
    wrong: Mapping[str, str],
) -> dict[str, str]:
    """Return digest → what is wrong, of all that one manifest needs."""
    body = store.manifest(digest)
    if body is None:
        return {digest: wrong.get(digest, "it is not there, or altered")}
    below, named = children(body)
    found: dict[str, str] = {}
    for one in below:
        # Of an index the depot has only the class's architectures.
        if one in digests:
            found |= _lacking(store, one, digests, blobs, wrong)
    for blob in named:
        if blob.digest not in blobs:
            found[blob.digest] = "it is not there"
        elif blobs[blob.digest] != blob.size:
            found[blob.digest] = f"it has {blobs[blob.digest]} bytes instead of {blob.size}"
        elif blob.digest in wrong:
            found[blob.digest] = wrong[blob.digest]
    return found
