"""A bundle: what went in comes out, and nothing that was cut or altered does."""

from pathlib import Path
from typing import Any

import pytest
from hub import Hub, serving
from stock import Depot, fetch, registry

LAYER = bytes(range(256)) * 5_000
CACHED = "packages/kept/a/bc/0123456789abcdef"


@pytest.fixture
def full(tmp_path: Path) -> Depot:
    """A depot with an image and a package, whose upstream is gone."""
    with serving(Hub()) as hub:
        hub.image("library/ubuntu", "24.04", LAYER, "amd64", "arm64")
        depot = Depot(tmp_path / "depot", hub.url)
        assert depot.seed("ubuntu:24.04")["failed"] == {}
    package = depot.directory / CACHED
    package.parent.mkdir(parents=True)
    package.write_bytes(b"a package")
    # What nginx has not finished.
    (package.parent / "0123456789abcdef.0000000001").write_bytes(b"half")
    return depot


@pytest.fixture
def empty(tmp_path: Path) -> Depot:
    return Depot(tmp_path / "empty", "http://127.0.0.1:9")


def lock_of(depot: Depot) -> dict[str, Any]:
    digest = depot.do("look")["tags"]["library/ubuntu"]["24.04"]
    return {"ubuntu:24.04": {"digest": digest, "platforms": {}}}


def bundle(depot: Depot) -> bytes:
    said = depot.do("bundle", lock=lock_of(depot))
    assert "failed" not in said
    return depot.given


def test_an_empty_depot_has_all_of_it_afterwards(full: Depot, empty: Depot) -> None:
    said = empty.do("load", bundle(full))

    assert said["lock"] == lock_of(full)
    assert (empty.directory / CACHED).read_bytes() == b"a package"
    assert len(list((empty.directory / "packages").rglob("0*"))) == 1
    assert empty.do("look", verify=True)["held"] == full.do("look")["held"]
    with registry(empty.directory / "store") as url:
        assert b"manifests" in fetch(
            f"{url}/v2/library/ubuntu/manifests/24.04",
            Accept="application/vnd.oci.image.index.v1+json",
        )


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.999])
def test_a_truncated_bundle_is_refused_and_no_image_appears(
    full: Depot, empty: Depot, part: float
) -> None:
    whole = bundle(full)
    # What tar fills its last block up with is no part of it.
    data = whole[: whole.rindex(b'"members"')]
    said = empty.do("load", data[: int(len(data) * part)])

    assert "refused" in said["failed"]
    assert empty.do("look")["tags"] == {}
    assert "failed" not in empty.do("load", whole)


def test_an_altered_blob_is_refused_and_named(full: Depot, empty: Depot) -> None:
    whole = bundle(full)
    at = whole.index(LAYER[:1000]) + 500
    said = empty.do("load", whole[:at] + b"?" + whole[at + 1 :])

    assert "of library/ubuntu was altered" in said["failed"]
    assert empty.do("look", verify=True)["damaged"] == []
    assert empty.do("look")["tags"] == {}


def test_an_altered_package_is_refused_and_named(full: Depot, empty: Depot) -> None:
    said = empty.do("load", bundle(full).replace(b"a package", b"a pakkage"))

    assert CACHED in said["failed"]
    assert not (empty.directory / CACHED).exists()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CACHED.encode(), CACHED.replace("bc", "cb").encode()),
        (b'"version": 1', b'"version": 7'),
        (b"layers", b"laxers"),
    ],
)
def test_what_is_altered_between_the_files_is_refused(
    full: Depot, empty: Depot, before: bytes, after: bytes
) -> None:
    said = empty.do("load", bundle(full).replace(before, after))

    assert "refused" in said["failed"]
    assert empty.do("look")["tags"] == {}


def test_what_is_no_bundle_is_refused(empty: Depot) -> None:
    assert "refused" in empty.do("load", b"PK" * 9000)["failed"]
    assert "refused" in empty.do("load", b"")["failed"]


def test_a_damaged_depot_is_not_bundled(full: Depot) -> None:
    layer = max((full.directory / "store").rglob("data"), key=lambda one: one.stat().st_size)
    layer.write_bytes(bytes(len(LAYER)))
    said = full.do("bundle", lock=lock_of(full))

    assert layer.parent.name in said["failed"]
    assert "--verify" in said["todo"]


@pytest.mark.parametrize("left", [None, b"half"])
def test_a_depot_that_lacks_a_blob_is_not_bundled(full: Depot, left: bytes | None) -> None:
    lock = lock_of(full)
    layer = max((full.directory / "store").rglob("data"), key=lambda one: one.stat().st_size)
    layer.unlink()
    if left:
        layer.write_bytes(left)
    said = full.do("bundle", lock=lock)

    assert f"{layer.parent.name} of library/ubuntu is damaged" in said["failed"]
    assert full.given == b""


def test_a_lock_whose_digests_the_depot_has_not_is_not_bundled(full: Depot) -> None:
    lock = lock_of(full)
    lock["ubuntu:24.04"]["platforms"] = {"arm64": {"digest": "sha256:" + "0" * 64, "bytes": 1}}
    said = full.do("bundle", lock=lock)

    assert "ubuntu:24.04 is locked to sha256:000" in said["failed"]
    assert full.given == b""


def test_what_was_altered_in_a_depot_is_replaced_by_what_a_bundle_has(full: Depot) -> None:
    whole = bundle(full)
    for data in (full.directory / "store").rglob("data"):
        data.write_bytes(bytes(data.stat().st_size))

    assert "failed" not in full.do("load", whole)
    assert full.do("look", verify=True)["damaged"] == []
