"""What a class lacks in its depot, and how that is said."""

from dataclasses import replace

import pytest

from labkit.depot.lines import lines, size
from labkit.depot.status import Served, Status, missing, stored_as
from labkit.lock import Locked, Pinned

STATUS = Status(
    machine="depot",
    url="http://198.18.7.2:5080",
    there=True,
    services={"labkit-depot-store": "active", "labkit-depot-nginx": "active"},
    images={"library/ubuntu": ["24.04"]},
    missing={},
    kept={"store": 30_000_000},
    served={"images": Served(7, 1_200_000_000, 5, 0, 2)},
    free=12_000_000_000,
)


@pytest.mark.parametrize(
    ("reference", "stored"),
    [
        ("ubuntu", ("library/ubuntu", "latest")),
        ("ubuntu:24.04", ("library/ubuntu", "24.04")),
        ("docker.io/library/ubuntu", ("library/ubuntu", "latest")),
        ("a/b:1", ("a/b", "1")),
        ("ghcr.io/a/b:1", ("ghcr.io/a/b", "1")),
        ("10.0.0.1:5000/a@sha256:00", ("10.0.0.1_5000/a", "sha256:00")),
    ],
)
def test_an_image_lies_under_its_hub_name_or_below_its_host(
    reference: str, stored: tuple[str, str]
) -> None:
    assert stored_as(reference) == stored


def test_an_image_without_a_lock_is_missed_by_its_tag() -> None:
    images = {"library/ubuntu": {"tags": {"24.04": "sha256:aa"}, "digests": ["sha256:aa"]}}

    assert missing({"ubuntu:24.04": None}, images) == {}
    assert list(missing({"ubuntu": None, "mongo:8": None}, images)) == ["ubuntu", "mongo:8"]


def test_a_locked_image_is_missed_by_the_digests_that_are_not_there() -> None:
    locked = Locked("sha256:index", {"amd64": Pinned("sha256:amd", 9)})
    images = {"library/ubuntu": {"tags": {"24.04": "sha256:old"}, "digests": ["sha256:index"]}}

    assert missing({"ubuntu:24.04": locked}, images) == {"ubuntu:24.04": "lacks sha256:amd"}


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
