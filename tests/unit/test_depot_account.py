"""What a depot says about itself is what lies on its disk."""

import json
from pathlib import Path

from labkit.depot import account


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_images_are_named_with_their_tags_and_manifests(tmp_path: Path) -> None:
    manifests = tmp_path / account.REGISTRY / "ghcr.io/a/b/_manifests"
    put(manifests / "tags/1/current/link", "sha256:aa")
    put(manifests / "revisions/sha256/aa/link", "sha256:aa")

    assert account.images(tmp_path) == {
        "ghcr.io/a/b": {"tags": {"1": "sha256:aa"}, "digests": ["sha256:aa"]}
    }


def test_an_empty_store_holds_nothing(tmp_path: Path) -> None:
    assert account.images(tmp_path / "nowhere") == {}
    assert account.served(tmp_path / "no.log") == {}


def test_what_was_served_is_counted_by_kind(tmp_path: Path) -> None:
    log = tmp_path / "access.jsonl"
    said = [
        {"kind": "images", "cache": "hit", "status": 200, "bytes": 10},
        {"kind": "images", "cache": "through", "status": 404, "bytes": 1},
        {"kind": "packages", "cache": "miss", "status": 200, "bytes": 5},
    ]
    log.write_text("\n".join([*map(json.dumps, said), '{"kind": "ima']))

    assert account.served(log) == {
        "images": {"requests": 2, "bytes": 11, "hit": 1, "miss": 0, "through": 0},
        "packages": {"requests": 1, "bytes": 5, "hit": 0, "miss": 1, "through": 0},
    }


def test_a_machine_that_is_no_depot_says_so(tmp_path: Path) -> None:
    assert not account.answer(tmp_path / "nowhere")["there"]


def test_a_depot_tells_what_it_keeps_and_what_room_is_left(tmp_path: Path) -> None:
    put(tmp_path / "store/blob", "x" * 5000)
    said = account.answer(tmp_path)

    assert said["there"]
    assert said["kept"]["store"] >= 5000
    assert said["kept"]["packages"] == 0
    assert said["free"] > 0
