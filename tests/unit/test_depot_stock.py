"""What a depot holds: how it gets there, what becomes of failures, and that a registry serves it."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import INDEX, MANIFEST, Hub, serving
from stock import Depot, fetch, registry

LAYER = bytes(range(256)) * 20_000


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as one:
        one.image("library/ubuntu", "24.04", LAYER, "amd64", "arm64", "s390x")
        yield one


@pytest.fixture
def depot(tmp_path: Path, hub: Hub) -> Depot:
    return Depot(tmp_path / "depot", hub.url)


def blob_of(hub: Hub, data: bytes = LAYER) -> str:
    return next(name for name, one in hub.blobs.items() if one == data)


def test_a_registry_serves_what_was_seeded_with_other_architectures_absent(
    depot: Depot, hub: Hub
) -> None:
    said = depot.seed("ubuntu:24.04", platforms=("amd64", "arm64"))

    digest = hub.tags["library/ubuntu:24.04"]
    assert said["failed"] == {}
    assert said["images"]["ubuntu:24.04"]["digest"] == digest
    assert sorted(said["images"]["ubuntu:24.04"]["platforms"]) == ["amd64", "arm64"]
    with registry(depot.directory / "store") as url:
        base = f"{url}/v2/library/ubuntu"
        index = json.loads(fetch(f"{base}/manifests/24.04", Accept=INDEX))
        assert fetch(f"{base}/manifests/{digest}", Accept=INDEX) == hub.blobs[digest]
        child = index["manifests"][1]["digest"]
        manifest = json.loads(fetch(f"{base}/manifests/{child}", Accept=MANIFEST))
        for blob in (manifest["config"], *manifest["layers"]):
            assert fetch(f"{base}/blobs/{blob['digest']}") == hub.blobs[blob["digest"]]


def test_a_real_registry_is_a_source_too(depot: Depot, tmp_path: Path) -> None:
    depot.seed("ubuntu:24.04")
    with registry(depot.directory / "store") as url:
        other = Depot(tmp_path / "other", url)
        said = other.seed("ubuntu:24.04")

    assert said["failed"] == {}
    assert other.do("look", verify=True)["damaged"] == []


def test_images_of_other_registries_lie_below_their_names(depot: Depot, hub: Hub) -> None:
    hub.image("a/b", "1", b"other", "amd64")
    images = [{"reference": "ghcr.io/a/b:1", "platforms": ["amd64"], "tags": [], "digest": None}]
    depot.do("seed", images=images, upstreams={"ghcr.io": hub.url})

    assert depot.do("look")["tags"] == {"ghcr.io/a/b": {"1": hub.tags["a/b:1"]}}


def test_a_second_seed_fetches_nothing(depot: Depot, hub: Hub) -> None:
    depot.seed("ubuntu:24.04")
    hub.asked.clear()
    depot.seed("ubuntu:24.04")

    assert hub.count("GET") == 0
    assert [one["missing"] for one in depot.said if "missing" in one] == [0]


def test_a_locked_image_stays_what_it_was(depot: Depot, hub: Hub) -> None:
    locked = hub.tags["library/ubuntu:24.04"]
    hub.image("library/ubuntu", "24.04", b"newer", "amd64")
    said = depot.seed("ubuntu:24.04", digest=locked)

    assert said["images"]["ubuntu:24.04"]["digest"] == locked


def test_what_was_cut_off_is_gone_on_with(depot: Depot, hub: Hub) -> None:
    hub.faults[f"blobs/{blob_of(hub)}"] = ["cut"]
    said = depot.seed("ubuntu:24.04")

    assert said["failed"] == {}
    assert hub.count(f"bytes={len(LAYER) // 2}-") == 1


def test_a_blob_that_arrives_altered_is_fetched_once_more(depot: Depot, hub: Hub) -> None:
    hub.faults[f"blobs/{blob_of(hub)}"] = ["alter"]

    assert depot.seed("ubuntu:24.04")["failed"] == {}


def test_a_blob_that_is_always_altered_is_named_and_refused(depot: Depot, hub: Hub) -> None:
    hub.faults[f"blobs/{blob_of(hub)}"] = ["alter"] * 9
    said = depot.seed("ubuntu:24.04")

    assert blob_of(hub) in said["failed"]["ubuntu:24.04"][0]
    assert depot.do("look")["tags"] == {}


@pytest.mark.parametrize("times", [1, 2])
def test_trouble_that_passes_is_waited_for(depot: Depot, hub: Hub, times: int) -> None:
    hub.faults["manifests"] = [503] * times

    assert depot.seed("ubuntu:24.04")["failed"] == {}


def test_a_limit_that_is_reached_is_told_and_not_waited_for(depot: Depot, hub: Hub) -> None:
    hub.faults["library"] = [429] * 99
    began = time.monotonic()
    said = depot.seed("ubuntu:24.04", "node", "mongo", "nginx", "redis", "debian")

    assert "429" in said["failed"]["ubuntu:24.04"][0]
    assert "account" in said["failed"]["node"][1]
    assert len(said["failed"]) == 6
    # Not tried again and again: a limit of hours does not pass within seconds.
    assert time.monotonic() - began < 5


def test_a_limit_met_by_one_image_keeps_no_other_out_and_nothing_is_counted_twice(
    depot: Depot, hub: Hub
) -> None:
    child = json.loads(hub.blobs[hub.image("library/node", "24", b"node", "amd64")])["manifests"][0]
    hub.faults[f"node/manifests/{child['digest']}"] = [429] * 9
    said = depot.seed("ubuntu:24.04", "node:24")
    assert list(said["images"]) == ["ubuntu:24.04"]
    assert "429" in said["failed"]["node:24"][0]

    hub.faults.clear()
    hub.asked.clear()
    assert depot.seed("ubuntu:24.04", "node:24")["failed"] == {}
    # Of the one the index is kept, though it failed.
    assert [one for one in hub.asked if "GET" in one and "/manifests/" in one] == [
        f"GET /v2/library/node/manifests/{child['digest']}"
    ]
    assert hub.count("GET /v2/library/ubuntu/blobs") == 0


def test_an_image_is_served_while_another_is_on_its_way_and_no_manifest_is_fetched_again(
    depot: Depot, hub: Hub
) -> None:
    hub.image("library/node", "24", b"node", "amd64")
    hub.faults[f"library/node/blobs/{blob_of(hub, b'node')}"] = ["hang"]
    with subprocess.Popen(
        depot.command(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as first:
        assert first.stdin
        images = [
            {"reference": one, "platforms": ["amd64"], "tags": [], "digest": None}
            for one in ("ubuntu:24.04", "node:24")
        ]
        first.stdin.write(depot.task("seed", images=images))
        first.stdin.flush()
        end = time.monotonic() + 20
        while not depot.do("look")["tags"]:
            assert time.monotonic() < end
        first.stdin.close()
    assert list(depot.do("look")["tags"]) == ["library/ubuntu"]

    hub.asked.clear()
    assert depot.seed("ubuntu:24.04", "node:24")["failed"] == {}
    assert hub.count("/manifests/sha256:") == 0


def test_one_image_that_is_not_there_keeps_no_other_out(depot: Depot) -> None:
    said = depot.seed("ubuntu:24.04", "nope:1")

    assert "404" in said["failed"]["nope:1"][0]
    assert list(said["images"]) == ["ubuntu:24.04"]


def test_a_registry_that_says_when_is_asked_again_then(depot: Depot, hub: Hub) -> None:
    hub.headers = {"Retry-After": "1"}
    hub.faults["manifests"] = [429, 429]

    assert depot.seed("ubuntu:24.04")["failed"] == {}


def test_the_counters_are_told(depot: Depot, hub: Hub) -> None:
    hub.image("ratelimitpreview/test", "latest", b"", "amd64")
    hub.headers = {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"}
    depot.seed("ubuntu:24.04")

    told = [one["limits"] for one in depot.said if "limits" in one]
    assert told == [{"limit": 100, "remaining": 76, "seconds": 21600}]


def test_who_logs_in_gets_a_token_and_nobody_else_hears_the_password(
    depot: Depot, hub: Hub
) -> None:
    hub.user = "ada"
    images = [{"reference": "ubuntu:24.04", "platforms": ["amd64"], "tags": [], "digest": None}]
    said = depot.do("seed", images=images, credentials=["ada", "s3cret"])

    assert said["failed"] == {}
    assert "s3cret" not in json.dumps(depot.said) + json.dumps(hub.asked)
    assert not [
        one for one in depot.directory.rglob("*") if one.is_file() and b"s3cret" in one.read_bytes()
    ]


def test_an_altered_blob_is_found_named_and_mended(depot: Depot, hub: Hub) -> None:
    depot.seed("ubuntu:24.04")
    depot.data(blob_of(hub)).write_bytes(bytes(len(LAYER)))

    assert depot.do("look")["damaged"] == []
    (found,) = depot.do("look", verify=True)["damaged"]
    assert found["digest"] == blob_of(hub)
    assert found["images"] == ["library/ubuntu"]
    assert depot.seed("ubuntu:24.04", verify=True)["failed"] == {}
    assert depot.do("look", verify=True)["damaged"] == []


def test_a_blob_of_the_wrong_size_is_mended_unasked(depot: Depot, hub: Hub) -> None:
    depot.seed("ubuntu:24.04")
    depot.data(blob_of(hub)).write_bytes(b"")

    assert [one["digest"] for one in depot.do("look")["damaged"]] == [blob_of(hub)]
    depot.seed("ubuntu:24.04")
    assert depot.do("look")["damaged"] == []


def test_a_disk_without_room_is_told_before_anything_comes(depot: Depot, hub: Hub) -> None:
    images = [{"reference": "ubuntu:24.04", "platforms": ["amd64"], "tags": [], "digest": None}]
    said = depot.do("seed", images=images, reserve_mb=10**9)

    assert "MB of disk" in said["failed"]
    assert "make room" in said["todo"]
    assert hub.count("blobs") == 0


def test_who_comes_second_is_told_who_was_first(depot: Depot, hub: Hub) -> None:
    hub.faults["manifests"] = ["hang"] * 9
    with subprocess.Popen(
        depot.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as first:
        assert first.stdin
        assert first.stdout
        images = [{"reference": "ubuntu:24.04", "platforms": ["amd64"], "tags": [], "digest": None}]
        first.stdin.write(depot.task("seed", images=images, who="labkit of eve on attic"))
        first.stdin.flush()
        first.stdout.readline()
        said = depot.seed("ubuntu:24.04")
        # It ends with its input, and leaves the depot to the next at once.
        first.stdin.close()
        threading.Thread(target=first.stdout.read, daemon=True).start()
        first.wait(timeout=5)

    assert "eve on attic" in said["failed"]
    hub.faults.clear()
    assert depot.seed("ubuntu:24.04")["failed"] == {}
