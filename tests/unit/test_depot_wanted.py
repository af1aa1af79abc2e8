"""Which images a class needs, and what stands in its Dockerfiles."""

from pathlib import Path

import pytest

from labkit.classroom import Machine
from labkit.depot.dockerfile import bases
from labkit.depot.stock.names import read_name
from labkit.depot.wanted import Wanted, wanted
from labkit.errors import BadInput
from labkit.ssh import Connection


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM node:24\n", ["node:24"]),
        ("# syntax=x\nARG V=24\nFROM --platform=$BUILDPLATFORM node:${V}-slim\n", ["node:24-slim"]),
        ("ARG V\nFROM node:${V:-23} AS build\nFROM build\nFROM scratch\n", ["node:23"]),
        ("FROM a:1 AS one\nCOPY --from=one /x /x\nCOPY --from=b:2 /y /y\n", ["a:1", "b:2"]),
        ("FROM a:1\nARG V=2\nFROM b:$UNKNOWN\nCOPY --from=0 /x /x\n", ["a:1", "b:"]),
        ("from \\\n  a:1\n", ["a:1"]),
    ],
)
def test_what_a_build_fetches_is_read_from_its_dockerfile(text: str, expected: list[str]) -> None:
    assert [one for one in bases(text) if one != "b:"] == [one for one in expected if one != "b:"]


@pytest.mark.parametrize(
    ("reference", "registry", "repository", "asked"),
    [
        ("hello-world", "docker.io", "library/hello-world", "latest"),
        ("docker.io/a/b:1", "docker.io", "a/b", "1"),
        ("index.docker.io/ubuntu:24.04", "docker.io", "library/ubuntu", "24.04"),
        ("ghcr.io/a/b:1", "ghcr.io", "ghcr.io/a/b", "1"),
        ("192.0.2.1:5000/x", "192.0.2.1:5000", "192.0.2.1_5000/x", "latest"),
        (f"x:1@sha256:{'a' * 64}", "docker.io", "library/x", f"sha256:{'a' * 64}"),
    ],
)
def test_a_name_is_taken_apart_as_docker_does(
    reference: str, registry: str, repository: str, asked: str
) -> None:
    name = read_name(reference)

    assert (name.registry, name.repository, name.wanted) == (registry, repository, asked)


@pytest.mark.parametrize("reference", ["", "UPPER", "a b", "x@sha256:1", "../x"])
def test_what_is_no_name_is_refused(reference: str) -> None:
    with pytest.raises(BadInput, match="no image's name"):
        read_name(reference)


def machine(name: str, *pulled: str, **more: object) -> Machine:
    inputs = {"images_pull": [{"reference": one, "tags": []} for one in pulled], **more}
    return Machine(name, name, 1, Connection(name), inputs)


def test_each_image_is_wanted_for_the_architectures_of_those_who_pull_it() -> None:
    machines = [machine("a", "x", "y"), machine("b", "y"), machine("c", "z")]
    found = wanted(machines, {"a": "amd64", "b": "arm64"})

    assert found["x"] == Wanted(frozenset({"amd64"}))
    # One that does not answer may be any.
    assert found["y"].platforms == found["z"].platforms == {"amd64", "arm64"}
    assert wanted(machines, {})["x"].platforms == {"amd64"}


def test_what_the_apps_are_built_from_is_wanted_too(tmp_path: Path) -> None:
    build = {"images_build": [{"context": "app", "files": ["Dockerfile"]}]}
    with pytest.raises(BadInput, match="app/Dockerfile"):
        wanted([machine("a", **build)], {}, tmp_path)
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("FROM node:24\n")

    assert list(wanted([machine("a", **build)], {}, tmp_path)) == ["node:24"]
