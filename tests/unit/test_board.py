"""What the instructor sees while a run goes on, and at its end."""

import io
import json

import pytest
from rich.console import Console

from labkit.board import FRAME_LINES, Board
from labkit.display import Json, Plain, Steps, report, slowest, summary
from labkit.events import Event, Kind, Reason
from labkit.verdicts import Progress, State

WHY = Reason("Pull the images", "no route\nreally", "ask the network")


def console(width: int = 80, height: int = 25) -> Console:
    return Console(file=io.StringIO(), width=width, height=height, color_system=None)


def seen(board: Board, width: int = 80, height: int = 25) -> list[str]:
    """Return the lines of the board on a screen of that size."""
    screen = console(width, height)
    screen.print(board, height=height)
    return screen.file.getvalue().rstrip("\n").splitlines()


def machines(count: int, state: State = State.WORKING) -> list[Progress]:
    return [Progress(f"vm{number}", "s", state) for number in range(1, count + 1)]


def test_each_machine_has_a_line() -> None:
    lines = seen(Board("labkit provision", machines(3)))

    assert "labkit provision · 3 working" in lines[0]
    assert [f"vm{number}" in line for number, line in enumerate(lines[1:], 1)] == [True] * 3


@pytest.mark.parametrize("height", [1, 5, 10, 24])
def test_the_board_never_outgrows_the_screen(height: int) -> None:
    assert len(seen(Board("t", machines(200)), height=height)) <= max(height, FRAME_LINES)


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    one = Progress("m" * 30, "s", State.WORKING, step="x" * 300, part="images", started=0.0)

    assert all(len(line) <= width for line in seen(Board("t" * 300, [one], now=5), width=width))


def test_trouble_is_shown_first_when_there_is_no_room_for_all() -> None:
    crowd = machines(100, State.READY)
    crowd[77].state = State.NOT_READY
    crowd[77].reasons = [WHY]
    lines = seen(Board("t", crowd), height=8)

    assert any("vm78" in line and "no route" in line for line in lines)
    assert "more: " in lines[-1]


def test_the_time_left_is_guessed_from_an_earlier_run() -> None:
    one = Progress("vm1", "s", State.WORKING, started=0.0)
    board = Board("t", [one], usual={"a": 30, "b": 60}, done={"vm1": {"a"}}, now=65)

    assert board.seconds_left(one) == 60
    assert "1:05 (-1:00)" in seen(board)[1]


def test_without_an_earlier_run_nothing_is_guessed() -> None:
    one = Progress("vm1", "s", State.WORKING, started=0.0)

    assert Board("t", [one]).seconds_left(one) is None


def test_rendering_changes_nothing() -> None:
    board = Board("t", machines(3), now=5)

    assert seen(board) == seen(board)


def test_the_report_says_what_happened_and_what_to_do() -> None:
    screen = console()
    ready = Progress("vm1", "s", State.READY, started=0, ended=12, changed=3, notes=["no mesh"])
    broken = Progress("vm2", "s", State.NOT_READY, reasons=[WHY])
    report(screen, [ready, broken])
    said = screen.file.getvalue()

    for words in ("12 s", "3 changed", "no mesh", "Pull the images: no route", "really"):
        assert words in said
    assert "→ ask the network" in said
    assert said.rstrip().endswith("1 ready, 1 not ready")


def test_an_answer_in_brackets_is_no_markup() -> None:
    screen = console()
    report(screen, [Progress("vm1", "s", State.NOT_READY, reasons=[Reason("a", "[red]b[/]")])])

    assert "[red]b[/]" in screen.file.getvalue()


def test_a_failure_without_an_answer_still_has_a_line() -> None:
    screen = console()
    broken = Progress("vm1", "s", State.NOT_READY, reasons=[Reason("Try it", "")])
    report(screen, [broken])

    assert "Try it" in screen.file.getvalue()
    assert seen(Board("t", [broken]))


def test_good_verdicts_are_counted_first() -> None:
    assert summary([*machines(1, State.UNREACHABLE), *machines(2, State.READY)]) == (
        "2 ready, 1 unreachable"
    )


def test_a_log_has_one_line_for_each_event_worth_one() -> None:
    screen = console(200)
    plain = Plain(screen)
    one = Progress("vm1", "s")
    plain.begin([one])
    plain.take(Event(Kind.START, "vm1", "Pull"), one)
    plain.take(Event(Kind.CHANGED, "vm1", "Pull", "images", 1.25), one)

    assert screen.file.getvalue() == "vm1  changed     images: Pull (1.2 s)\n"


def test_json_is_one_object_a_line() -> None:
    stream = io.StringIO()
    one = Progress("vm1", "s", State.NOT_READY, reasons=[WHY])
    show = Json(stream)
    show.begin([one])
    show.take(Event(Kind.FAILED, "vm1", "Pull", "images", reasons=(WHY,)), one)
    show.end([one])

    event, verdict = map(json.loads, stream.getvalue().splitlines())
    assert (event["type"], event["kind"], event["machine"]) == ("event", "failed", "vm1")
    assert (verdict["type"], verdict["state"]) == ("verdict", "not ready")
    assert verdict["reasons"][0]["todo"] == "ask the network"


def test_the_slowest_steps_come_first() -> None:
    told = slowest([Event(Kind.OK, "vm1", str(n), seconds=n) for n in range(30)])

    assert len(told) == 10
    assert told[0].split()[0] == "29.0"


def test_steps_are_said_as_they_begin_and_timed_on_a_terminal() -> None:
    for terminal in (False, True):
        stream = io.StringIO()
        shown = Console(file=stream, width=60, force_terminal=terminal, color_system=None)
        with Steps(shown) as steps:
            steps.tell("building [an] image")
            assert terminal or "· building [an] image" in stream.getvalue()
            steps.tell("starting 3 machines")

        said = stream.getvalue()
        assert said.rindex("building [an] image") < said.rindex("starting 3 machines")
        assert ("0:00:00" in said) is terminal


def test_a_rehearsal_shows_chapter_step_and_seconds() -> None:
    one = Progress("vm1", "s", State.REHEARSING, step="step 7: docker ps", part="chapter 05")
    one.begun = 100.0

    assert "chapter 05: step 7: docker ps (12 s)" in seen(Board("t", [one], now=112.4))[1]
    assert "docker ps (" not in seen(Board("t", [one], now=100.4))[1]


def test_a_rehearsal_goes_on_after_a_failure_and_shows_both() -> None:
    one = Progress("vm1", "s", State.REHEARSING, step="step 1: ls", part="chapter 06")
    one.reasons = [WHY]

    assert "1 failed · chapter 06: step 1: ls" in seen(Board("t", [one]))[1]
