"""A depot that dies while a machine pulls from it."""

import json
from pathlib import Path

import pytest
from ansible.module_utils import labkit_left_depot as left
from ansible.module_utils import labkit_mirrors as mirrors
from depots import answering

URL = "http://192.0.2.2:5080"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "daemon.json"
    for module in (left, mirrors):
        monkeypatch.setattr(module, "CONFIGURATION", file)
    monkeypatch.setattr(mirrors, "PID_FILE", tmp_path / "docker.pid")
    return file


def test_a_living_depot_is_not_left(settings: Path) -> None:
    with answering() as url:
        settings.write_text(json.dumps({mirrors.MIRRORS: [url]}))
        depot = left.Depot(url)

        assert not depot.left()
        assert depot.notes == []
        assert json.loads(settings.read_text()) == {mirrors.MIRRORS: [url]}


def test_a_dead_depot_is_left_once_and_told(settings: Path) -> None:
    with answering() as url:
        pass
    settings.write_text(json.dumps({mirrors.MIRRORS: [url, "https://own.example"]}))
    depot = left.Depot(url)

    assert depot.left()
    assert depot.left()
    assert len(depot.notes) == 1
    assert "went on directly" in depot.notes[0]
    assert json.loads(settings.read_text()) == {mirrors.MIRRORS: ["https://own.example"]}


def test_a_depot_that_was_silent_for_a_moment_is_used_again_at_the_end(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["timed out", "timed out", ""])
    monkeypatch.setattr(left, "silence", lambda _: next(answers))
    settings.write_text(json.dumps({mirrors.MIRRORS: [URL, "https://own.example"]}))
    depot = left.Depot(URL)
    depot.back()  # it was never left
    assert depot.left()
    depot.back()
    assert json.loads(settings.read_text()) == {mirrors.MIRRORS: ["https://own.example"]}
    depot.back()

    assert json.loads(settings.read_text()) == {mirrors.MIRRORS: [URL, "https://own.example"]}
    assert "answers again" in depot.notes[-1]


def test_a_class_without_a_depot_leaves_none() -> None:
    assert not left.Depot("").left()


def test_a_silence_is_borne_while_the_depot_answers_but_not_for_ever() -> None:
    with answering() as url:
        depot = left.Depot(url)

        assert depot.bears(1)
        assert not depot.bears(left.MOST)
    assert not depot.bears(1)
    assert not left.Depot("").bears(1)
