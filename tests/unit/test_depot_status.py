"""What a class lacks in its depot, and how that is said."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.classroom import Machine
from labkit.depot.lines import lines
from labkit.depot.status import Served, Status, missing, needed
from labkit.lock import Locked, Pinned, write_lock
from labkit.quantities import size
from labkit.ssh import Connection

STATUS = Status(
    machine="depot",
    url="http://198.18.7.2:5080",
    there=True,
    services={"labkit-depot-store": "active", "labkit-depot-nginx": "active"},
    images={"library/ubuntu": ["24.04"]},
    missing={},
    damaged={},
    kept={"store": 30_000_000},
    served={"images": Served(7, 1_200_000_000, 5, 0, 2)},
    free=12_000_000_000,
)


def test_an_image_without_a_lock_is_missed_by_its_tag() -> None:
    said = {
        "tags": {"library/ubuntu": {"24.04": "sha256:aa"}},
        "held": {"library/ubuntu": ["sha256:aa"]},
    }

    assert missing({"ubuntu:24.04": None}, said) == {}
    assert list(missing({"ubuntu": None, "mongo:8": None}, said)) == ["ubuntu", "mongo:8"]


def test_a_locked_image_is_missed_by_the_digests_that_are_not_there() -> None:
    locked = Locked("sha256:index", {"amd64": Pinned("sha256:amd", 9)})
    said = {"held": {"library/ubuntu": ["sha256:index"]}}

    assert missing({"ubuntu:24.04": locked}, said) == {"ubuntu:24.04": "lacks sha256:amd"}


def test_what_builds_begin_with_is_needed_and_what_was_dropped_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.depot.wanted.content", lambda: tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM node:24\n")
    lock = {name: Locked("sha256:a", {}) for name in ("node:24", "dropped:1")}
    write_lock(tmp_path, lock)
    inputs = {"images_pull": [{"reference": "ubuntu"}], "images_build": [{"context": "."}]}
    machine = Machine("a", "a", 1, Connection("a"), inputs)
    known = SimpleNamespace(directory=tmp_path, machines=(machine,))

    assert needed(known) == {"ubuntu": None, "node:24": lock["node:24"]}  # type: ignore[arg-type]


def test_a_depot_serves_while_the_store_and_nginx_run() -> None:
    assert STATUS.serves
    assert not replace(STATUS, services={"labkit-depot-store": "active"}).serves


def test_hits_misses_and_what_was_passed_on_are_told() -> None:
    said = "\n".join(lines(STATUS))

    assert "served  images: 1.2 GB in 7 requests, 5 hits, 0 misses, 2 passed on" in said
    assert "nothing that this class needs is missing" in said


def test_what_is_missing_is_said_last() -> None:
    assert list(lines(replace(STATUS, missing={"mongo:8": "is not in the store"})))[-1].split()[
        :2
    ] == ["missing", "mongo:8"]


def test_of_a_machine_that_is_no_depot_it_is_said_what_makes_it_one() -> None:
    assert "labkit depot up" in next(lines(replace(STATUS, there=False)))


def test_sizes_are_read_as_docker_writes_them() -> None:
    assert [size(number) for number in (0, 999, 1500, 3_000_000_000)] == [
        "0 B",
        "999 B",
        "2 kB",
        "3.0 GB",
    ]
