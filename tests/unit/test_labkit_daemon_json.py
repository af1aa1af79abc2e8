"""How daemon.json is merged."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/docker_engine"
daemon = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_daemon_json.py")))


def test_settings_of_others_are_kept() -> None:
    theirs = {"data-root": "/srv/docker", "log-driver": "local", "log-opts": {"tag": "x"}}

    merged = daemon.merge(theirs, {"log-opts": {"max-size": "10m"}, "debug": True})

    assert merged == {
        "data-root": "/srv/docker",
        "log-driver": "local",
        "log-opts": {"tag": "x", "max-size": "10m"},
        "debug": True,
    }


def test_a_list_of_ours_replaces_theirs() -> None:
    merged = daemon.merge(
        {"registry-mirrors": ["http://old"]}, {"registry-mirrors": ["http://new"]}
    )

    assert merged == {"registry-mirrors": ["http://new"]}


def test_another_log_driver_does_not_inherit_options_that_it_refuses() -> None:
    defaults = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}}

    assert daemon.merge(defaults, {"log-driver": "journald"}) == {"log-driver": "journald"}


def test_merging_again_changes_nothing() -> None:
    ours = {"log-driver": "json-file", "log-opts": {"max-size": "10m"}}
    once = daemon.merge({"log-driver": "local", "log-opts": {"x": "y"}, "debug": True}, ours)

    assert daemon.merge(once, ours) == once


@pytest.mark.parametrize("text", ["{oops", "[]", "3"])
def test_what_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    path.write_text(text)

    with pytest.raises(ValueError, match=r"line 1|braces"):
        daemon.read(path)


def test_a_missing_or_empty_file_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "daemon.json"
    assert daemon.read(path) == {}

    path.write_text("\n")
    assert daemon.read(path) == {}
