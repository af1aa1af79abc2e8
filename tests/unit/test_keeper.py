"""What a rehearsal finds is kept, and put back as it was; the engine's part is tried in tests/class."""

import os
import pwd
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from labkit.rehearsal.keeper import home, people
from labkit.rehearsal.keeper.differences import differences

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
NOTHING = {
    "swarm": "inactive",
    "containers": {},
    "networks": {"bridge": "bridge"},
    "volumes": {},
    "tags": {},
    "untagged": [],
    "cache": [],
    "files": {},
    "home": "/",
    "again": {},
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A home with all kinds of things in it."""
    place = tmp_path / "home"
    (place / "app/deep").mkdir(parents=True)
    (place / "app/Dockerfile").write_text("FROM ubuntu:24.04\n")
    (place / "app/deep/file").write_bytes(b"\0\xff")
    (place / "app/run.sh").write_text("#!/bin/sh\n")
    (place / "app/run.sh").chmod(0o755)
    (place / "link").symlink_to("app/Dockerfile")
    (place / "dangling").symlink_to("nowhere")
    (place / "a name\nof two lines").write_text("x")
    Path(os.fsdecode(bytes(place) + b"/no\xfftext")).write_text("y")
    return place


def put_back(place: Path, before: dict[str, home.About], archive: Path) -> list[str]:
    """Put everything back, and return what differed."""
    now = dict(home.files(str(place)))
    found = list(home.differences(str(place), before, now, archive))
    for _, again in found:
        if again:
            again()
    return [what for what, _ in found]


def kept(place: Path) -> tuple[dict[str, home.About], Path]:
    before, archive = dict(home.files(str(place))), place.parent / "home.tar"
    home.pack(str(place), archive, before)
    return before, archive


def test_an_untouched_home_differs_in_nothing(place: Path) -> None:
    before, archive = kept(place)

    assert put_back(place, before, archive) == []
    assert archive.stat().st_mode & 0o777 == 0o600


def test_whatever_was_done_to_it_the_home_is_as_it_was(place: Path) -> None:
    before, archive = kept(place)
    (place / "app/Dockerfile").write_text("FROM scratch\n")
    (place / "app/run.sh").chmod(0o600)
    (place / "app/deep/file").unlink()
    (place / "app/deep").rmdir()
    (place / "link").unlink()
    (place / "link").mkdir()
    (place / "link/new").write_text("z")
    (place / "dangling").unlink()
    (place / "dangling").symlink_to("elsewhere")
    (place / "new/er").mkdir(parents=True)
    (place / "new/er/file").write_text("z")
    Path(os.fsdecode(bytes(place) + b"/no\xfftext")).unlink()

    differing = put_back(place, before, archive)

    assert {
        "file ~/app/Dockerfile, changed",
        "file ~/app/run.sh, changed",
        "file ~/app/deep, removed",
        "file ~/dangling, changed",
        "file ~/new",
    } <= set(differing)
    assert not [one for one in differing if "deep/file" in one or "new/er" in one]
    assert dict(home.files(str(place))) == before
    assert put_back(place, before, archive) == []


@AS_ROOT
def test_owners_are_put_back_too(place: Path) -> None:
    os.chown(place / "app/Dockerfile", 1234, 1235)
    before, archive = kept(place)
    os.chown(place / "app/Dockerfile", 0, 0)

    assert put_back(place, before, archive) == ["file ~/app/Dockerfile, changed"]
    assert (place / "app/Dockerfile").stat().st_uid == 1234


def test_a_big_file_is_not_copied_and_its_loss_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "BIG", 100)
    (place / "app/big").write_bytes(bytes(101))
    before, archive = kept(place)
    (place / "app/big").write_bytes(bytes(102))
    now = dict(home.files(str(place)))

    found = list(home.differences(str(place), before, now, archive))
    assert found == [("file ~/app/big, changed", None)]
    assert archive.stat().st_size < 20_000
    listed = subprocess.run(["tar", "tf", archive], capture_output=True, text=True, check=True)
    assert "app/big" not in listed.stdout


def told(before: dict[str, object], now: dict[str, object]) -> dict[str, bool]:
    """Return what differs, and whether it can be put back."""
    found = differences({**NOTHING, **before}, {**NOTHING, **now}, Path("unused"))
    return {what: again is not None for what, again in found}


def test_what_is_new_can_be_removed_and_what_is_gone_is_gone() -> None:
    some = {
        "containers": {"1": ["clock", "exited"]},
        "networks": {"bridge": "bridge", "todo": "todo"},
        "volumes": {"data": "data"},
    }

    assert told({}, some) == {"container clock": True, "network todo": True, "volume data": True}
    assert told(some, {}) == {
        "container clock, removed": False,
        "network todo, removed": False,
        "volume data, removed": False,
    }


@pytest.mark.parametrize(
    ("before", "now", "verb"),
    [("running", "exited", "start"), ("exited", "running", "stop"), ("running", "paused", "start")],
)
def test_a_container_runs_again_as_before(before: str, now: str, verb: str) -> None:
    one = {"containers": {"1": ["db", before]}}
    other = {"containers": {"1": ["db", now]}}
    ((what, again),) = differences({**NOTHING, **one}, {**NOTHING, **other}, Path("unused"))

    assert what == f"container db, {now}"
    assert again
    assert again.args[1].endswith(f"/{verb}")  # type: ignore[attr-defined]


def test_an_image_gets_its_name_back() -> None:
    before = {"tags": {"ubuntu:24.04": "a", "mine:1": "b"}, "untagged": ["c"]}
    now = {"tags": {"mine:1": "d", "new:1": "d"}, "untagged": ["a", "b", "c", "e"]}

    assert told(before, now) == {
        "image ubuntu:24.04, removed": True,
        "image mine:1, another one": True,
        "image new:1": True,
        # a and b are only waiting for their names.
        "image e": True,
    }


def test_a_swarm_that_was_left_cannot_be_joined_again() -> None:
    assert told({}, {"swarm": "active"}) == {"swarm: active": True}
    assert told({"swarm": "active"}, {}) == {"swarm: inactive": False}


def test_of_the_build_cache_only_a_loss_counts() -> None:
    assert told({"cache": ["RUN a"]}, {"cache": ["RUN a", "RUN b"]}) == {}
    assert told({"cache": ["RUN a", "RUN b"]}, {"cache": ["RUN b"]}) == {
        "build cache: 1 of 2 records, removed": False
    }


def at_a_terminal(line: str) -> list[str]:
    return [sys.executable, "-c", f"import pty; pty.spawn(['sh', '-c', {line!r}])"]


def sessions() -> list[str]:
    return [one.name for one in people.processes() if one.is_of(os.getuid())]


def test_whoever_sits_at_a_terminal_is_at_work() -> None:
    with subprocess.Popen(
        at_a_terminal("echo on; exec sleep 60"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as sitting:
        assert sitting.stdout
        sitting.stdout.readline()
        found = sessions()
        sitting.kill()

    assert "sleep" in found


def test_a_service_is_nobody_at_work() -> None:
    with subprocess.Popen(["sleep", "61"], start_new_session=True) as service:
        found = [one.number for one in people.processes() if one.is_of(os.getuid())]
        service.kill()

    assert service.pid not in found


def running(line: str) -> bool:
    """Tell whether some process has these words as its command line."""
    words = line.replace(" ", "\0").encode() + b"\0"
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        # It may end between the two.
        with suppress(OSError):
            if one.read_bytes() == words:
                return True
    return False


def test_a_rehearsals_own_leftovers_are_ended_with_all_that_runs_in_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Not the real name: there may be a rehearsal at work on this box.
    monkeypatch.setattr(people, "SESSION", f"test-{os.getpid()}")
    environment = {**os.environ, "TERM": people.SESSION}
    with subprocess.Popen(
        at_a_terminal("sleep 62 & sleep 63 & echo on; wait"),
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as left:
        assert left.stdout
        left.stdout.readline()
        assert running("sleep 62")
        assert running("sleep 63")
        people.end_own_sessions(pwd.getpwuid(os.getuid()).pw_name)
        assert left.wait(5) != 0

    # What was killed is gone a moment later.
    deadline = time.monotonic() + 10
    while running("sleep 62") or running("sleep 63"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
