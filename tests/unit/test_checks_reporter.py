"""Each check is told once, as a promise, with what was expected, what was seen and what to do."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.checks.promise import Unkept, promise
from labkit.checks.reporter import LAST_LINES, Reporter, broken

CHECKS = '''
import pytest
from labkit.checks.line import NoAnswer, Unreachable
from labkit.checks.promise import promise

@pytest.fixture
def mishap():
    raise RuntimeError("boom")

def test_it_works():
    pass

def test_its_name_is_not_used():
    """Docker answers the attendee.

    More of it.
    """

@pytest.mark.parametrize("image", ["ubuntu:24.04", "hello-world"])
def test_the_image_is_there(image):
    pass

def test_it_is_kept():
    promise(False, expected="version 28", seen=" 27 ", todo="upgrade")

def test_it_may_be_skipped():
    pytest.skip("note: no mesh")

def test_it_breaks():
    raise RuntimeError("bang")

def test_it_cannot_begin(mishap):
    pass

def test_it_is_slow():
    raise NoAnswer("no answer within 60 s")

def test_it_is_gone():
    raise Unreachable("Broken pipe")

def test_it_is_not_tried_any_more():
    pass
'''


def tell(file: Path, text: str) -> list[Mapping[str, Any]]:
    """Return all that pytest's run of a file of checks tells; each file has a name of its own."""
    file.write_text(text)
    told: list[Mapping[str, Any]] = []
    arguments = [
        *("-q", "-c", os.devnull, "--rootdir", str(file.parent)),
        *("-p", "no:cacheprovider", "--import-mode=importlib"),
    ]
    pytest.main([*arguments, str(file)], plugins=[Reporter(told.append)])
    return told


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Mapping[str, Any]]:
    return tell(tmp_path_factory.mktemp("checks") / "test_told.py", CHECKS)


@pytest.fixture(scope="module")
def outcomes(told: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Give the outcome of each check by its promise."""
    return {one["promise"]: one for one in told if "outcome" in one}


def test_each_check_is_named_when_it_starts_and_told_once(told: list[Mapping[str, Any]]) -> None:
    started = [one["started"] for one in told if "started" in one]
    ended = [one["check"] for one in told if "outcome" in one]

    assert started == ended
    assert len(started) == len(set(started)) == 10


def test_a_promise_reads_as_the_tests_name_or_its_docstring(
    outcomes: dict[str, Mapping[str, Any]],
) -> None:
    assert list(outcomes)[:4] == [
        "it works",
        "Docker answers the attendee",
        "the image is there: ubuntu:24.04",
        "the image is there: hello-world",
    ]
    assert outcomes["it works"]["outcome"] == "passed"
    assert "expected" not in outcomes["it works"]


@pytest.mark.parametrize(
    ("name", "outcome", "said"),
    [
        ("it is kept", "failed", ("version 28", "27", "upgrade")),
        ("it breaks", "failed", ("carried out", "RuntimeError: bang", "bug of labkit")),
        ("it cannot begin", "failed", ("carried out", "RuntimeError: boom", "bug of labkit")),
        ("it is slow", "failed", ("an answer", "no answer within 60 s", "top")),
        ("it is gone", "unreachable", ("over SSH", "Broken pipe", "switched on")),
    ],
)
def test_a_check_that_does_not_pass_says_three_things(
    outcomes: dict[str, Mapping[str, Any]], name: str, outcome: str, said: tuple[str, str, str]
) -> None:
    one = outcomes[name]
    expected, seen, todo = said

    assert (one["outcome"], one["seen"]) == (outcome, seen)
    assert expected in one["expected"]
    assert todo in one["todo"]


def test_what_broke_a_check_is_told_with_its_place(
    outcomes: dict[str, Mapping[str, Any]],
) -> None:
    assert "test_told.py" in outcomes["it breaks"]["detail"]


def test_a_skipped_check_says_why(outcomes: dict[str, Mapping[str, Any]]) -> None:
    skipped = outcomes["it may be skipped"]

    assert (skipped["outcome"], skipped["detail"]) == ("skipped", "note: no mesh")


def test_nothing_more_is_tried_on_a_machine_that_is_gone(
    outcomes: dict[str, Mapping[str, Any]],
) -> None:
    assert list(outcomes)[-1] == "it is gone"


def test_checks_that_cannot_be_read_are_told_as_failed(tmp_path: Path) -> None:
    (one,) = tell(tmp_path / "test_unreadable.py", "import no_such_module\n")

    assert (one["outcome"], one["promise"]) == ("failed", "the checks can be read")
    assert "no_such_module" in one["detail"]


def test_what_labkit_could_not_carry_out_is_told_by_its_last_lines() -> None:
    told = broken("the checks run to their end", "\n".join(map(str, range(50))) + "\n\n")

    assert told["seen"] == "49"
    assert told["detail"].splitlines() == [str(one) for one in range(50 - LAST_LINES, 50)]
    assert broken("p", " \n")["seen"] == "no more is known"


@pytest.mark.parametrize("kept", [True, ["it"], object()])
def test_a_promise_that_is_kept_is_not_spoken_of(kept: object) -> None:
    promise(kept, expected="e", seen="s", todo="t")
    with pytest.raises(Unkept):
        promise(not kept, expected="e", seen="s", todo="t")


def test_a_machine_that_said_nothing_is_quoted_as_saying_nothing() -> None:
    with pytest.raises(Unkept) as error:
        promise(None, expected="version 28", seen=" \n", todo="upgrade")

    assert str(error.value) == "expected version 28; saw nothing at all; upgrade"
