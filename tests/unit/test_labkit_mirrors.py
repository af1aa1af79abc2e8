"""The depot among the engine's mirrors, and an engine that takes mirrors up without a restart."""

import json
import os
from pathlib import Path

import pytest
from ansible.module_utils import labkit_mirrors as mirrors

DEPOT, OLD, OWN = "http://192.0.2.2:5080", "http://192.0.2.9:5080", "https://mirror.example"


@pytest.mark.parametrize(
    ("there", "depot", "earlier", "then"),
    [
        (None, DEPOT, [], [DEPOT]),
        ([OWN], DEPOT, [], [DEPOT, OWN]),
        ([DEPOT, OWN], DEPOT, [DEPOT], [DEPOT, OWN]),
        ([OLD, OWN], DEPOT, [OLD], [DEPOT, OWN]),  # it moved
        ([f"{OLD}/"], DEPOT, [OLD], [DEPOT]),
        ([DEPOT, OWN], "", [DEPOT], [OWN]),  # it went
        ([OWN], "", [], [OWN]),
    ],
)
def test_the_depot_comes_first_and_mirrors_of_others_stay(
    there: list[str] | None, depot: str, earlier: list[str], then: list[str]
) -> None:
    settings = {"debug": True, **({mirrors.MIRRORS: there} if there else {})}

    arranged = mirrors.arrange(settings, depot, earlier, asked=False)

    assert arranged == {"debug": True, mirrors.MIRRORS: then}
    assert mirrors.arrange(arranged, depot, [depot], asked=False) == arranged


def test_nothing_stays_where_the_depot_was_the_only_mirror() -> None:
    assert mirrors.arrange({mirrors.MIRRORS: [DEPOT]}, "", [DEPOT], asked=False) == {}


def test_what_the_instructor_left_empty_stays_empty() -> None:
    empty: dict[str, list[str]] = {mirrors.MIRRORS: []}

    assert mirrors.arrange(empty, "", [], asked=False) == empty
    assert mirrors.arrange({mirrors.MIRRORS: [DEPOT]}, "", [DEPOT], asked=True) == empty


def test_our_own_mirrors_are_remembered_until_there_is_none(tmp_path: Path) -> None:
    depots = mirrors.Depots(tmp_path / "labkit" / "depot.json")
    depots.remember([])
    assert not depots.record.exists()
    depots.remember([OLD, DEPOT, DEPOT])
    assert depots.known() == [DEPOT, OLD]
    depots.remember([])

    assert depots.known() == []
    assert not depots.record.exists()


class Engine:
    """An engine that started at 100 and reads its file when it is told to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file, self.pid = folder / "daemon.json", folder / "docker.pid"
        self.told: list[dict[str, object]] = []
        self.listens = True
        self.pid.touch()
        os.utime(self.pid, (100, 100))
        monkeypatch.setattr(mirrors, "CONFIGURATION", self.file)
        monkeypatch.setattr(mirrors, "PID_FILE", self.pid)
        monkeypatch.setattr(mirrors, "reload", self.reload)

    def reload(self, wanted: list[str]) -> bool:
        self.told.append(json.loads(self.file.read_text()))
        return self.listens and self.told[-1][mirrors.MIRRORS] == wanted

    def settle(self, before: dict[str, object], after: dict[str, object]) -> bool:
        """Change its settings; tell whether it has to be restarted for them."""
        self.file.write_text(json.dumps(before))
        os.utime(self.file, (90, 90))
        mirrors.replace(self.file, before, after)
        assert json.loads(self.file.read_text()) == after
        return self.file.stat().st_mtime > self.pid.stat().st_mtime


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return Engine(tmp_path, monkeypatch)


def test_other_mirrors_alone_restart_no_engine(engine: Engine) -> None:
    assert not engine.settle({"debug": True}, {"debug": True, mirrors.MIRRORS: [DEPOT]})
    assert engine.told == [{"debug": True, mirrors.MIRRORS: [DEPOT]}]


def test_an_engine_is_told_of_no_mirror_before_the_setting_goes(engine: Engine) -> None:
    assert not engine.settle({mirrors.MIRRORS: [DEPOT]}, {})
    assert engine.told == [{mirrors.MIRRORS: []}]


def test_any_other_setting_restarts_it(engine: Engine) -> None:
    assert engine.settle({}, {"debug": True, mirrors.MIRRORS: [DEPOT]})
    assert engine.told == []


def test_an_engine_that_does_not_listen_is_restarted(engine: Engine) -> None:
    engine.listens = False

    assert engine.settle({}, {mirrors.MIRRORS: [DEPOT]})
