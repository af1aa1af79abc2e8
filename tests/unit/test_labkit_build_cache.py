"""Whether a build hit the cache."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROLE = Path(__file__).parents[2] / "roles/images"
cache = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_build_cache.py")))

PROGRESS = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#4 [1/3] FROM docker.io/library/ubuntu:24.04
#4 DONE 0.0s
#6 [2/3] RUN apt-get update
#6 CACHED
#7 [3/3] COPY clock.sh /usr/local/bin/clock.sh
"""
FAILED = """\
#5 [2/2] RUN apt-get install -y nix
#5 0.3 E: Unable to locate package nix
#5 ERROR: process "/bin/sh -c apt-get install -y nix" did not complete successfully: exit code: 100
------
 > [2/2] RUN apt-get install -y nix:
0.3 E: Unable to locate package nix
------
Dockerfile:2
--------------------
ERROR: failed to solve: process "/bin/sh -c apt-get install -y nix" did not complete successfully
"""


def test_a_step_that_is_not_cached_ran() -> None:
    assert cache.steps_run(PROGRESS + "#7 DONE 0.1s\n") == {"7"}


def test_a_build_that_hits_the_cache_ran_no_step() -> None:
    assert cache.steps_run(PROGRESS + "#7 CACHED\n") == set()


def test_stages_have_names() -> None:
    assert cache.steps_run("#8 [build 2/4] RUN npm ci\n#8 DONE 9.1s\n") == {"8"}


def test_a_failure_tells_what_the_step_said() -> None:
    told = cache.explain(FAILED)

    assert "Unable to locate package nix" in told
    assert "failed to solve" in told


def test_a_build_behind_a_depot_goes_through_it_but_not_for_the_depot_itself() -> None:
    assert cache.proxy_arguments("http://192.0.2.2:3142") == [
        "--build-arg=http_proxy=http://192.0.2.2:3142",
        "--build-arg=no_proxy=localhost,127.0.0.1,192.0.2.2",
        "--build-arg=NO_PROXY=localhost,127.0.0.1,192.0.2.2",
    ]
    assert cache.proxy_arguments("") == []


URL, PROXY = "http://192.0.2.2:5080", "http://192.0.2.2:3142"
FORTUNE, TODO = ("fortune-clock", "Dockerfile"), ("todo", "Dockerfile")


class Scene:
    """Builds as a scene answers them: todo fails until the depot is left, if it is."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, silent: list[str], proxy: str = PROXY
    ) -> None:
        self.asked: list[tuple[str, int, str]] = []
        self.forgotten: list[str] = []
        seen = cache.Builds.run.__globals__

        def build(context: Path, _: str, timeout: int, proxy: str) -> Any:
            self.asked.append((context.name, timeout, proxy))
            wrong = "npm error" if context.name == "todo" and not self.forgotten else ""
            return cache.Built({"7"}, wrong)

        def forget(_: Path, owner: str, url: str) -> list[str]:
            self.forgotten.append(f"{owner} {url}")
            return []

        monkeypatch.setitem(seen, "build", build)
        monkeypatch.setitem(seen, "silence", lambda *_: silent.pop(0) if silent else "")
        monkeypatch.setitem(seen, "without_depot", forget)
        given = {"root": "/nowhere", "owner": "jane", "timeout": 900}
        self.builds = cache.Builds({**given, "depot": URL, "proxy": proxy})


def test_a_depot_that_dies_while_npm_asks_it_is_left_and_all_is_built_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, ["", "Connection refused"])
    done = scene.builds.run_all([FORTUNE, TODO])

    assert [built.wrong for built in done.values()] == ["", ""]
    assert scene.forgotten == [f"jane {URL}"]
    # The files of all apps may be others now, and the cache goes by them.
    assert sorted(scene.asked) == sorted(
        (name, seconds, proxy)
        for name in ("fortune-clock", "todo")
        for seconds, proxy in ((300, PROXY), (900, ""))
    )
    assert "stopped answering (Connection refused)" in scene.builds.notes[0]
    assert "todo/Dockerfile was built directly" in scene.builds.notes[1]


def test_what_a_living_depot_cannot_give_is_built_directly_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, [])
    done = scene.builds.run_all([FORTUNE, TODO])

    assert done[TODO].wrong == "npm error"
    assert scene.forgotten == []
    assert ("todo", 900, "") in scene.asked
    assert ("fortune-clock", 900, "") not in scene.asked


def test_a_depot_that_is_dead_already_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene(monkeypatch, ["timed out"])
    scene.builds.run_all([TODO])

    assert scene.asked == [("todo", 900, "")]
    assert scene.forgotten


def test_of_a_depot_that_preflight_found_silent_nothing_is_told_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene = Scene(monkeypatch, ["timed out"], "")
    scene.builds.run_all([TODO])

    assert scene.forgotten == [f"jane {URL}"]
    assert scene.builds.notes == []


def test_a_build_that_hangs_is_told_like_any_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 30\n")
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert cache.build(tmp_path, "Dockerfile", 1, "").wrong == "it was not built within 1 s"
