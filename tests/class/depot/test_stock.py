"""A depot is filled over ssh: from upstreams that fail, twice at once, onto a full disk."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from conftest import MACHINES, Answer, Room, Running, labkit
from hub import Hub, digest, serving
from rich.console import Console

from labkit.classroom import Request
from labkit.depot.seed import Options, seed
from labkit.display import Freight
from labkit.errors import LabkitError

pytestmark = pytest.mark.machines

PLACE = "/var/lib/labkit-stock-test"
LAYER = bytes(range(256)) * 40_000
DEPOT = MACHINES[2]


@dataclass
class Stock:
    """An inventory beside the class's own, whose depot is its third machine, and its upstream."""

    room: Room
    hub: Hub

    @property
    def inventory(self) -> Path:
        return self.room.directory / "stock" / "class.ini"

    @property
    def lock(self) -> Path:
        return self.inventory.with_name("images.lock.yml")

    def write(self, reserve_mb: int = 0) -> None:
        """Write the inventory anew."""
        text = self.room.inventory.read_text()
        (host,) = re.findall(rf"(?m)^{DEPOT} .*\n", text)
        text = text.replace(host, "").replace("{{ inventory_dir }}", str(self.room.directory))
        inputs = {
            "depot_directory": PLACE,
            "depot_reserve_mb": reserve_mb,
            "depot_upstreams": {"docker.io": self.hub.url},
            "images_pull": [{"reference": "ubuntu:24.04"}, {"reference": "alpine:3.23"}],
            "images_build": [],
            "images_database": "",
        }
        lines = "".join(f"{name}={json.dumps(value)}\n" for name, value in inputs.items())
        self.inventory.parent.mkdir(exist_ok=True)
        self.inventory.write_text(
            text.replace("[machines:vars]", "[all:vars]") + lines + f"\n[depot]\n{host}"
        )

    def depot(self, verb: str, *more: str) -> Answer:
        return labkit("depot", verb, "-i", str(self.inventory), *more)

    def root(self, line: str) -> str:
        return self.room.as_root(DEPOT, line)

    def damaged(self) -> Answer:
        """Seed once more, reading all that is there."""
        return self.depot("seed", "--verify", "--json")

    @contextmanager
    def small_disk(self) -> Iterator[None]:
        self.root(f"mount -t tmpfs -o size=6m stock {PLACE}")
        try:
            yield
        finally:
            self.root(f"umount {PLACE}")


@pytest.fixture(scope="module")
def shared(bare: Room) -> Iterator[Stock]:
    made = "getent passwd docker-registry >/dev/null || useradd --system -c labkit docker-registry"
    bare.as_root(DEPOT, f"{made}; mkdir -p {PLACE}")
    with serving(Hub(), bare.gateway) as hub:
        for name, layer in (("ubuntu:24.04", LAYER), ("alpine:3.23", b"small")):
            repository, _, tag = f"library/{name}".partition(":")
            hub.image(repository, tag, layer, "amd64", "arm64", "s390x")
        one = Stock(bare, hub)
        one.write()
        yield one
    # Others copy the class's folder, onto disks that have no room for a bundle.
    shutil.rmtree(one.inventory.parent)
    # The user goes only if it is the one made here.
    bare.as_root(
        DEPOT,
        f"rm -rf {PLACE}; getent passwd docker-registry | grep -q :labkit: && "
        "userdel docker-registry || true",
    )


@pytest.fixture(scope="module")
def seeded(shared: Stock) -> Stock:
    """One that has all; who alters it puts it right, and comes before those who want an empty one."""
    done = shared.depot("seed")
    assert done.code == 0, done.stderr
    return shared


@pytest.fixture
def stock(shared: Stock) -> Stock:
    """One that is empty, and whose upstream does not fail yet."""
    shared.root(f"rm -rf {PLACE}/*")
    shared.lock.unlink(missing_ok=True)
    shared.hub.faults.clear()
    shared.hub.asked.clear()
    shared.write()
    return shared


def test_the_stock_belongs_to_the_registrys_user_and_nothing_is_fetched_twice(
    seeded: Stock,
) -> None:
    owners = seeded.root(f"find {PLACE}/store -printf %u\\\\n | sort -u").split()
    seeded.hub.asked.clear()
    again = seeded.depot("seed")

    assert owners == ["docker-registry"]
    assert again.code == 0, again.stderr
    assert seeded.hub.count("GET") == 0


def test_a_blob_altered_in_the_storage_is_found_and_mended(seeded: Stock) -> None:
    blob = digest(LAYER).removeprefix("sha256:")
    data = f"{PLACE}/store/docker/registry/v2/blobs/sha256/{blob[:2]}/{blob}/data"
    seeded.root(f"printf X | dd of={data} conv=notrunc status=none")
    refused = seeded.depot("bundle", str(seeded.inventory.with_name("stock.tar")))
    assert refused.code == 1
    assert blob in refused.stderr
    assert "--verify" in refused.stderr

    mended = seeded.damaged()
    assert mended.code == 0, mended.stderr
    assert [line["missing"] for line in mended.lines if "missing" in line] == [1]
    assert seeded.root(f"sha256sum {data}").split()[0] == blob


def test_a_bundle_fills_an_empty_depot_without_any_upstream(seeded: Stock) -> None:
    bundle, lock = seeded.inventory.with_name("stock.tar"), seeded.lock.read_text()
    assert seeded.depot("bundle", str(bundle)).code == 0
    seeded.root(f"rm -rf {PLACE}/store")
    seeded.lock.unlink()
    seeded.hub.asked.clear()

    whole = bundle.read_bytes()
    at = whole.index(LAYER[:1000]) + len(LAYER) // 2
    for broken, said in (
        (whole[: len(whole) // 2], "refused"),
        (whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], f"{digest(LAYER)} of library/"),
    ):
        bundle.write_bytes(broken)
        refused = seeded.depot("seed", "--from", str(bundle))
        assert refused.code == 1
        assert said in refused.stderr
        assert not seeded.lock.exists()

    bundle.write_bytes(whole)
    done = seeded.depot("seed", "--from", str(bundle))
    assert done.code == 0, done.stderr
    assert seeded.lock.read_text() == lock
    assert seeded.hub.asked == []


@pytest.mark.parametrize(("fault", "said"), [(429, "rate limit"), (500, "500")])
def test_an_upstream_that_fails_is_told_and_gone_on_with(
    stock: Stock, fault: int | str, said: str
) -> None:
    stock.hub.faults["/manifests/sha256:"] = [fault] * 99
    done = stock.depot("seed")
    assert done.code == 1
    assert said in done.stderr
    assert "→" in done.stderr

    stock.hub.faults.clear()
    done = stock.depot("seed")
    assert done.code == 0, done.stderr


def test_an_upstream_that_falls_silent_is_told_and_gone_on_with(stock: Stock) -> None:
    stock.hub.faults["/manifests/sha256:"] = ["hang"] * 99
    said = StringIO()
    with pytest.raises(LabkitError, match="not in the depot"):
        # As it is typed it would be waited for longer than this test has.
        seed(Request(stock.inventory), Options(patience=1), Freight(Console(file=said, width=999)))
    assert "no answer within 1 s" in said.getvalue()

    stock.hub.faults.clear()
    done = stock.depot("seed")
    assert done.code == 0, done.stderr


def test_a_full_disk_is_told_and_seeding_goes_on_when_there_is_room(stock: Stock) -> None:
    with stock.small_disk():
        early = stock.depot("seed")
        # Now that it has not been counted beforehand: as if somebody else had filled it.
        stock.write(reserve_mb=-1000)
        late = stock.depot("seed")
        stock.root(f"mount -o remount,size=60m {PLACE}")
        stock.hub.asked.clear()
        done = stock.depot("seed")

    assert early.code == late.code == 1
    assert "MB of disk" in early.stderr
    assert "the depot's disk is full" in late.stderr
    assert "make room" in early.stderr
    assert done.code == 0, done.stderr
    assert stock.hub.count("bytes=") >= 1


def test_of_two_seeds_at_once_the_second_is_told_who_is_first(stock: Stock) -> None:
    stock.hub.faults["blobs"] = ["hold"] * 99
    first = Running("depot", "seed", "-i", str(stock.inventory), "--json")
    deadline = time.monotonic() + 60
    while not stock.hub.count("blobs"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    second = stock.depot("seed")
    own = first.processes()
    stock.hub.opened.set()
    ended = first.finish()

    assert second.code == 1
    named = re.search(r"is being filled already: labkit of .*, process (\d+)", second.stderr)
    assert named, second.stderr
    assert int(named[1]) in own
    assert ended.code == 0, ended.stderr
