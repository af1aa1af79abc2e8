"""The stand-ins fit together: what they are built from, their names, and their versions."""

import re
from pathlib import Path

import pytest

from labkit.errors import BadInput, ControllerError
from labkit.sandbox import bakery, parts, standins
from labkit.sandbox.parts import Files
from labkit.sandbox.standins import LOCAL, STAND_INS, Plan, plans
from labkit.sandbox.upload import Registry

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "tests" / "images"
VERSIONS = ROOT / "todo" / ".env"


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Files]:
    """What the box tells, here the same on every box."""
    told = {name: {"etc/setting": (b"as it is", 0o644)} for name in ("files", "npm", "go")}
    monkeypatch.setattr(parts, "_settings", lambda: told)
    return told


def marks() -> dict[str, str]:
    return {plan.image.folder or plan.image.name: plan.mark for plan in plans()}


def test_every_folder_is_a_stand_in_and_no_name_is_taken_twice() -> None:
    folders = [one.folder or one.name for one in STAND_INS]
    references = [reference for one in STAND_INS for reference in one.references]

    assert sorted(folders) == sorted(path.parent.name for path in IMAGES.glob("*/Dockerfile"))
    assert len(references) == len(set(references))


def test_each_is_built_from_nothing_from_an_earlier_one_or_from_a_stage_of_its_own() -> None:
    for plan in plans():
        text = plan.sources["Dockerfile"][0].decode()
        stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
        for base in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
            known = base == "scratch" or base in stages or base.startswith(f"{LOCAL}/")
            assert known, f"{plan.image.name}: FROM {base} would be asked from Docker Hub"


def test_every_stage_is_labelled_so_that_what_is_left_of_it_can_be_swept() -> None:
    for plan in plans():
        text = plan.sources["Dockerfile"][0].decode()

        assert text.count("LABEL labkit.stand-in=true") == len(re.findall("(?m)^FROM ", text))


@pytest.mark.parametrize(
    ("setting", "others"),
    [
        ("npm", {"node", "node-alpine"}),
        ("go", {"golang", "mongo", "registry"}),
        ("files", {one.folder or one.name for one in STAND_INS} - {"hello-world"}),
    ],
)
def test_other_settings_of_the_box_make_other_images_of_those_that_have_them(
    settings: dict[str, Files], setting: str, others: set[str]
) -> None:
    before = marks()
    settings[setting] = {"etc/setting": (b"otherwise", 0o644)}
    after = marks()

    assert {name for name in before if before[name] != after[name]} == others


def test_what_debian_is_made_with_decides_about_all_that_is_debian(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = marks()
    monkeypatch.setattr(parts, "SLIM", ("--dpkgopt=path-exclude=/etc/*",))

    assert marks()["nginx"] != before["nginx"]
    assert marks()["hello-world"] == before["hello-world"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["node"], ["node", "node-alpine"]),
        (["debian:13-slim"], ["debian"]),
        (["nginx", "alpine"], ["alpine", "nginx"]),
    ],
)
def test_some_are_wanted_by_name_or_with_their_tag(wanted: list[str], found: list[str]) -> None:
    assert [plan.image.folder or plan.image.name for plan in plans(wanted)] == found


def test_what_there_is_none_of_is_refused_with_those_there_are() -> None:
    with pytest.raises(BadInput) as refused:
        plans(["mongo", "postgres"])

    assert refused.value.message == "There is no stand-in for postgres."
    assert "mongo" in str(refused.value.hint)


def test_an_installation_without_the_sources_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(standins.paths, "content", lambda: tmp_path)

    with pytest.raises(ControllerError, match="no sources in this installation"):
        plans()


class Shelf(Registry):
    """A registry in memory that has been told what is in it."""

    def __init__(self, kept: dict[tuple[str, str], bytes]) -> None:
        super().__init__("nowhere")
        self.kept = kept

    def manifest(self, repository: str, tag: str) -> bytes | None:
        return self.kept.get((repository, tag))

    def tag(self, repository: str, tag: str, manifest: bytes) -> None:
        self.kept[repository, tag] = manifest


def known(plan: Plan) -> tuple[str, str]:
    return (plan.repository, plan.mark)


def test_what_the_registry_has_of_todays_sources_is_only_named_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Another labkit of this box may be at work.
    monkeypatch.setattr(bakery.turn, "_take", lambda *_: True)
    shelf = Shelf({known(plan): plan.mark.encode() for plan in plans()})

    # No engine: nothing may be built.
    bakery.ensure_stand_ins(None, shelf, pytest.fail)  # type: ignore[arg-type]

    assert standins.are_served(shelf)
    (mongo,) = plans(["mongo"])
    assert shelf.kept["library/mongo", mongo.image.tags[0]] == mongo.mark.encode()


def test_a_registry_that_lacks_a_single_tag_does_not_serve_them() -> None:
    tags = {(f"library/{one.name}", tag): b"{}" for one in STAND_INS for tag in one.tags}
    del tags["library/ubuntu", "latest"]

    assert not standins.are_served(Shelf(tags))


def test_a_version_that_an_image_tells_is_the_one_of_its_tag() -> None:
    tags = {one.folder or one.name: one.tags for one in STAND_INS}
    node = re.findall(r"NODE_VERSION=(\S+)", text("node") + text("node-alpine"))
    wheel = re.findall(r"==(\S+)", (IMAGES / "node" / "wheels.txt").read_text())

    assert {f"{one}-alpine" for one in (*node, *wheel)} == set(tags["node-alpine"])
    assert set(re.findall(r"MONGO_VERSION=(\S+)", text("mongo"))) <= set(tags["mongo"])
    go = set(re.findall(r"GOTOOLCHAIN=go(\S+) |GOLANG_VERSION=(\S+)", text("golang")))
    assert {"".join(one).rpartition(".")[0] + "-alpine" for one in go} == set(tags["golang"])


def text(folder: str) -> str:
    return (IMAGES / folder / "Dockerfile").read_text()


@pytest.mark.skipif(not VERSIONS.exists(), reason="the to-do app is not there")
def test_the_to_do_apps_images_are_among_them() -> None:
    versions = dict(re.findall(r"^(\w+)_VERSION=(.+)$", VERSIONS.read_text(), re.MULTILINE))
    wanted = {f"mongo:{versions['MONGO']}", f"nginx:{versions['NGINX']}"} | {
        f"node:{versions['NODE']}-{kind}" for kind in ("slim", "alpine")
    }

    assert wanted <= {reference for one in STAND_INS for reference in one.references}
