"""A machine gets exactly one verdict, and "ready" only where checks passed."""

import pytest

from labkit.events import Event, Kind, Reason
from labkit.verdicts import CHECKS, Progress, State, tries

WHY = Reason("Pull the images", "no route")


@pytest.fixture
def one() -> Progress:
    return Progress("vm1", "seat01")


def step(kind: Kind, part: str = "images", *reasons: Reason) -> Event:
    return Event(kind, "vm1", "Pull the images", part, reasons=reasons)


def test_it_waits_until_something_happens(one: Progress) -> None:
    assert one.state is State.WAITING

    one.take(step(Kind.START), 10)

    assert (one.state, one.step, one.started) == (State.WORKING, "Pull the images", 10)


def test_it_becomes_ready_when_its_checks_passed(one: Progress) -> None:
    one.take(step(Kind.OK, CHECKS), 1)
    assert one.state is State.CHECKING
    one.checked(5)

    assert (one.state, one.ended) == (State.READY, 5)


def test_without_a_single_check_it_is_not_ready(one: Progress) -> None:
    one.take(step(Kind.OK), 1)
    one.checked(2)

    assert one.state is State.NOT_READY
    assert "not one check ran" in one.reasons[0].answer


def test_a_skipped_check_proves_nothing(one: Progress) -> None:
    one.take(step(Kind.SKIPPED, CHECKS), 1)
    one.checked(2)

    assert one.state is State.NOT_READY


def test_a_failed_check_lets_the_others_run_and_leaves_it_not_ready(one: Progress) -> None:
    one.take(step(Kind.FAILED, CHECKS, WHY), 1)
    assert one.state is State.CHECKING
    one.take(step(Kind.OK, CHECKS), 2)
    one.checked(3)

    assert one.state is State.NOT_READY
    assert one.reasons == [WHY]


def test_a_failed_task_ends_it(one: Progress) -> None:
    one.take(step(Kind.FAILED, "images", WHY), 7)

    assert (one.state, one.ended, one.reasons) == (State.NOT_READY, 7, [WHY])


@pytest.mark.parametrize("part", ["images", CHECKS])
def test_a_silent_machine_is_unreachable(one: Progress, part: str) -> None:
    one.take(step(Kind.UNREACHABLE, part, WHY), 7)
    one.checked(8)

    assert (one.state, one.ended) == (State.UNREACHABLE, 7)


def test_a_verdict_is_not_changed_by_what_comes_later(one: Progress) -> None:
    one.end(State.UNREACHABLE, 1)
    one.take(step(Kind.OK), 2)
    one.checked(3)
    one.end(State.READY, 4)

    assert (one.state, one.ended, one.steps) == (State.UNREACHABLE, 1, 0)


def test_a_twin_that_shows_late_takes_ready_back(one: Progress) -> None:
    one.take(step(Kind.OK, CHECKS), 1)
    one.checked(2)
    one.demote(WHY)
    one.demote(WHY)

    assert one.state is State.NOT_READY
    assert one.reasons == [WHY]


def test_a_twin_that_shows_early_keeps_it_from_being_ready(one: Progress) -> None:
    one.demote(WHY)
    one.take(step(Kind.OK, CHECKS), 1)
    one.checked(2)

    assert one.state is State.NOT_READY


def test_changed_steps_are_counted(one: Progress) -> None:
    for kind in (Kind.START, Kind.CHANGED, Kind.OK, Kind.SKIPPED, Kind.RETRY):
        one.take(step(kind), 1)

    assert (one.steps, one.changed, one.checks) == (3, 1, 0)


def test_a_note_is_told_once_and_is_no_step(one: Progress) -> None:
    for _ in range(2):
        one.take(Event(Kind.NOTE, "vm1", "first contact", notes=("no mesh",)), 1)

    assert (one.notes, one.steps, one.step) == (["no mesh"], 0, "")


def test_a_failed_step_of_a_chapter_lets_the_others_run_and_leaves_it_not_ready(
    one: Progress,
) -> None:
    one.take(step(Kind.OK, CHECKS), 1)
    one.take(step(Kind.START, "chapter 05"), 2)
    assert (one.state, one.begun) == (State.REHEARSING, 2)
    one.take(step(Kind.FAILED, "chapter 05", WHY), 3)
    one.take(step(Kind.OK, "chapter 06"), 4)
    assert (one.state, one.begun) == (State.REHEARSING, None)
    one.checked(5)

    assert (one.state, one.reasons) == (State.NOT_READY, [WHY])


def test_a_rehearsal_alone_makes_no_machine_ready(one: Progress) -> None:
    one.take(step(Kind.OK, "chapter 05"), 1)
    one.checked(2)

    assert one.state is State.NOT_READY


@pytest.mark.parametrize(
    ("part", "tried"),
    [(CHECKS, True), ("rehearsal", True), ("chapter 05", True), ("images", False), ("", False)],
)
def test_what_is_only_tried_does_not_end_a_run(part: str, tried: bool) -> None:  # noqa: FBT001
    assert tries(part) is tried


def test_what_shows_late_takes_ready_back(one: Progress) -> None:
    one.take(step(Kind.OK, CHECKS), 1)
    one.checked(2)
    one.take(step(Kind.OK, CHECKS), 3)
    assert one.state is State.READY
    one.take(step(Kind.FAILED, CHECKS, WHY), 4)

    assert (one.state, one.reasons, one.ended) == (State.NOT_READY, [WHY], 2)
