"""What a depot says about itself is what lies on its disk."""

import json
from pathlib import Path

from labkit.depot.stock import account


def test_a_depot_that_nobody_asked_has_served_nothing(tmp_path: Path) -> None:
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


def test_a_depot_tells_what_it_keeps_and_who_serves(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "blob").write_text("x" * 5000)
    said = account.account(tmp_path)

    assert said["kept"]["store"] >= 5000
    assert said["kept"]["packages"] == 0
    assert "active" not in said["services"].values()
