"""What the checks decide of the class's depot, from what machines say."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from depots import answering
from testinfra.host import Host

from labkit.checks import test_depot as depot
from labkit.checks import test_engine as engine
from labkit.checks import test_images as images
from labkit.checks import test_packages as packages
from labkit.checks.machine import Machine
from labkit.checks.promise import Unkept
from labkit.ssh import Connection

Says = Callable[[str, str], None]

URL, PROXY = "http://192.0.2.2:5080", "http://192.0.2.2:3142"
ALIVE, DEAD = (depot.Depot(URL, PROXY, answers) for answers in (True, False))
DIGEST, OTHER = "sha256:aa", "sha256:bb"


@pytest.fixture
def host() -> Host:
    return testinfra.get_host("local://")


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have a program of the machine answer."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def says(program: str, text: str) -> None:
        (tmp_path / program).write_text(f"#!/bin/sh\nexec /bin/cat <<'END'\n{text}\nEND\n")
        (tmp_path / program).chmod(0o700)

    return says


def machine(**inputs: Any) -> Machine:
    return Machine("vm1", "a", 1, (), Connection("vm1"), Path("/nowhere"), inputs)


def unkept(check: Callable[..., None], *given: Any) -> Unkept:
    with pytest.raises(Unkept) as error:
        check(*given)
    return error.value


def test_a_silent_depot_is_told_and_no_fault(host: Host) -> None:
    told: list[str] = []
    with answering() as url:
        seen = depot.depot.__wrapped__(host, machine(preflight_depot=url))
        depot.test_the_depot_answers(seen, told.append)
        assert (seen.answers, told) == (True, [])
    depot.test_the_depot_answers(
        depot.depot.__wrapped__(host, machine(preflight_depot=url)), told.append
    )

    assert "goes on directly" in told[0]
    assert "remove the group [depot]" in told[0]


def test_what_answers_in_a_depots_place_is_none(host: Host) -> None:
    for text in ("<html>please log in</html>", "[]", "{}", '{"labkit": "desk"}'):
        with answering(text) as url:
            assert not depot.depot.__wrapped__(host, machine(preflight_depot=url)).answers


def test_an_engine_with_another_first_mirror_is_told_and_no_fault(host: Host, says: Says) -> None:
    check, told = depot.test_the_engine_asks_the_depot_first, []  # type: Any, list[str]
    says("docker", f'["{URL}/","https://own.example/"]')
    check(host, ALIVE, told.append)
    assert told == []
    for text, seen in (
        (f'["https://own.example/","{URL}/"]', f"https://own.example, {URL}"),
        ("null", "no mirror"),
    ):
        says("docker", text)
        check(host, ALIVE, told.append)
        assert f"({seen}): provision again" in told.pop()


@pytest.fixture
def detector(says: Says, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have apt's program answer, and apt know it."""
    monkeypatch.setattr(depot, "DETECTOR", str(tmp_path / "detector"))
    says("apt-config", f'Acquire::http::Proxy-Auto-Detect "{tmp_path}/detector";')
    return lambda answer: says("detector", answer)


def test_apt_that_does_not_use_a_living_depot_is_told(
    host: Host, detector: Callable[[str], None]
) -> None:
    check, told = depot.test_apt_goes_through_the_depot_while_it_answers, []  # type: Any, list[str]
    detector(PROXY)
    check(host, machine(), ALIVE, told.append)
    assert told == []
    detector("DIRECT")
    check(host, machine(), ALIVE, told.append)

    assert "(DIRECT): provision again" in told[0]


def test_apt_never_uses_a_dead_depot_be_it_forgotten_or_not(
    host: Host, detector: Callable[[str], None], says: Says
) -> None:
    check, told = depot.test_apt_goes_through_the_depot_while_it_answers, []  # type: Any, list[str]
    detector("DIRECT")
    check(host, machine(), DEAD, told.append)
    detector(PROXY)
    assert PROXY in unkept(check, host, machine(), DEAD, told.append).seen
    # As `depot down` leaves it.
    Path(depot.DETECTOR).unlink()
    says("apt-config", "")
    check(host, machine(), DEAD, told.append)

    assert told == []


def test_an_app_whose_modules_come_from_elsewhere_is_told(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, told = depot.test_npm_asks_the_depot_in_the_apps, []  # type: Any, list[str]
    monkeypatch.setattr(depot, "PRISTINE", str(tmp_path))
    (tmp_path / "todo").mkdir()
    (tmp_path / "todo" / "package-lock.json").touch()
    check(host, ALIVE, told.append)
    assert "by ./todo/.npmrc: provision again" in told.pop()
    (tmp_path / "todo" / ".npmrc").write_text(f"fund=false\nregistry={URL}/npm/\n")
    check(host, ALIVE, told.append)

    assert told == []


def test_what_still_points_to_a_depot_is_named(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = depot.test_nothing_points_to_a_depot_that_the_class_does_not_have
    for name in ("PRISTINE", "SETTINGS", "DETECTOR", "RECORD"):
        monkeypatch.setattr(depot, name, str(tmp_path / name.lower()))
    check(host, machine(), None)
    (tmp_path / "record").touch()

    assert unkept(check, host, machine(), None).seen == str(tmp_path / "record")


def test_the_instructors_mirrors_may_stand_behind_the_depot(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, file = engine.test_the_engine_has_the_settings_of_the_class, tmp_path / "daemon.json"
    monkeypatch.setattr(engine, "SETTINGS", str(file))
    own = {"registry-mirrors": ["https://own.example"]}
    given = {"docker_engine_daemon": own, "preflight_depot": URL}
    file.write_text(f'{{"registry-mirrors": ["{URL}", "https://own.example"]}}')
    os.utime(file, (1, 1))
    check(host, machine(**given))
    file.write_text(f'{{"registry-mirrors": ["{URL}"]}}')
    os.utime(file, (1, 1))

    assert "registry-mirrors" in unkept(check, host, machine(**given)).seen


def test_an_engine_that_came_through_the_depot_has_a_plain_source(host: Host, says: Says) -> None:
    check = packages.test_apt_knows_where_the_engine_came_from
    url = "https://download.docker.com/linux"
    given = {"docker_engine_source": "docker", "docker_engine_repository_url": url}
    says("cat", "URIs: http://download.docker.com/linux/debian")
    check(host, machine(**given, preflight_depot=URL))

    assert unkept(check, host, machine(**given))


@pytest.mark.parametrize(
    ("entry", "kept", "told"),
    [
        ({"digest": DIGEST}, True, 0),
        ({"digest": OTHER}, False, 0),
        ({"digest": OTHER, "instead_of": DIGEST}, True, 1),
        ({}, False, 0),
    ],
)
def test_an_image_is_that_of_the_lock(entry: dict[str, str], *, kept: bool, told: int) -> None:
    check, notes = images.test_the_image_is_the_one_of_the_lock, []  # type: Any, list[str]
    seen = images.Images.__new__(images.Images)
    seen.recorded = {"ubuntu:24.04": entry}
    given = (seen, {"reference": "ubuntu:24.04"}, machine(images_lock={"ubuntu:24.04": DIGEST}))
    if kept:
        check(*given, notes.append)
    else:
        assert unkept(check, *given, notes.append)

    assert len(notes) == told
