"""The steps of a chapter, carried out in real shells."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attendee import Box, box

from labkit.guide.reader import read_chapter
from labkit.rehearsal.outcome import Outcome
from labkit.rehearsal.typist import Typist

Carry = Callable[[str], list[Outcome]]


@pytest.fixture
def carry(tmp_path: Path) -> Iterator[Carry]:
    """Carry out all steps of a chapter, and return what came of each."""
    home = tmp_path / "home"
    home.mkdir()
    closing: list[Typist] = []
    with box(home) as one:

        def carry(text: str) -> list[Outcome]:
            file = tmp_path / "01-chapter.md"
            file.write_text(f"# Chapter\n\n{text}\n")
            chapter = read_chapter(file)
            closing.append(Typist(chapter, [one]))  # type: ignore[list-item]
            return [closing[-1].carry_out(step) for step in chapter.steps]

        yield carry
        for typist in closing:
            typist.close()


def problems(outcomes: list[Outcome]) -> list[str]:
    return [one.problem for one in outcomes]


def console(text: str, note: str = "") -> str:
    comment = f"<!-- rehearse: {note} -->\n" if note else ""
    return f"{comment}```console\n{text}\n```\n\n"


def test_what_is_as_expected_is_well(carry: Carry) -> None:
    outcomes = carry(console("$ echo one; echo two\none\n...\n$ cd /\n$ pwd\n/"))

    assert problems(outcomes) == ["", "", ""]
    assert outcomes[0].output == "one\ntwo\n"


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (console("$ false"), "exit 1 instead of 0"),
        (console("$ true", "exit=3"), "exit 0 instead of 3"),
        (console("$ echo one\ntwo"), "no line like: two"),
        (console("$ echo one; echo two\none"), "more is printed than expected"),
        (console("$ sleep 9", "limit=1"), "no end within 1 s"),
        (console("$ sleep 9", "limit=1 background=ready"), "no line that matches ready within 1 s"),
        (console("$ echo no", "background=ready"), "it ended with exit 0 before a line matched"),
        (console("$ echo one\n> echo two"), "it was complete before the line: echo two"),
        (console("$ exit"), "the terminal has ended"),
        ("<!-- rehearse: file=no/such/folder -->\n```text\na\n```\n", "No such file"),
        (console("$ join SWMTKN-... now", "paste"), "nothing was printed that looks like SWMTKN"),
        (console("$ true\nroot@...:/# date"), "the program that this is typed into has ended"),
    ],
)
def test_what_is_not_as_expected_is_told_in_one_line(
    carry: Carry, block: str, problem: str
) -> None:
    assert problem in problems(carry(block))[-1]


def test_an_exit_status_may_be_expected_or_any(carry: Carry) -> None:
    outcomes = carry(console("$ (exit 3)", "exit=3") + console("$ (exit 9)", "exit=any"))

    assert problems(outcomes) == ["", ""]


def test_a_program_is_typed_into_until_it_ends(carry: Carry) -> None:
    inner = f"{sys.executable} inner.py"
    outcomes = carry(
        console(f"$ {inner}\nroot@...:/# echo >file one\n...\nroot@...:/# cat <<END\n> a\n> END\na")
        + console(
            "root@...:/# cd /tmp\nroot@...:/tmp# pwd\n/tmp\nroot@...:/tmp# exit\nexit\n$ pwd\n..."
        )
    )

    assert problems(outcomes) == [""] * 7
    assert outcomes[2].output == "a\n"


def test_a_prompt_that_is_not_as_written_is_told(carry: Carry) -> None:
    outcomes = carry(console(f"$ {sys.executable} inner.py\nroot@...:/app# pwd\nroot@...:/# exit"))

    assert outcomes[1].problem == "the prompt is root@f00:/# instead of root@...:/app#"


def test_a_program_that_goes_on_is_in_the_way_of_the_shell(carry: Carry) -> None:
    outcomes = carry(console(f"$ {sys.executable} inner.py\nroot@...:/# pwd\n/\n$ pwd"))

    assert "waits at root@f00:/#" in outcomes[-1].problem


def test_a_command_goes_on_in_its_window_until_ctrl_c(carry: Carry) -> None:
    loop = "n=0; while sleep 0.1; do n=$((n+1)); echo tick $n; done"
    outcomes = carry(
        console(f"$ {loop}\ntick 1\ntick 2", 'background="tick 2$"')
        + console("$ echo here\nhere", "terminal=2")
        + console("^C\n...\n$ echo back\nback")
    )

    assert problems(outcomes) == [""] * 4
    assert outcomes[0].output == "tick 1\ntick 2"


def test_an_interrupted_command_leaves_its_window_free(carry: Carry) -> None:
    outcomes = carry(
        console("$ echo on; sleep 60\non", "interrupt=on") + console("$ echo off\noff")
    )

    assert problems(outcomes) == ["", "", ""]


def test_what_another_window_ends_is_waited_for(carry: Carry) -> None:
    outcomes = carry(
        console("$ echo on; until test -e end; do sleep 0.1; done", "background=on")
        + console("$ sleep 0.5; touch end", "terminal=2")
        + console("$ echo free\nfree")
    )

    assert problems(outcomes) == ["", "", ""]


def test_what_still_runs_in_a_window_is_named(carry: Carry) -> None:
    outcomes = carry(console("$ echo on; sleep 60", "background=on") + console("$ true", "limit=1"))

    assert outcomes[1].problem == "this still runs in its terminal: echo on; sleep 60"


def test_a_command_is_repeated_until_it_answers_as_expected(carry: Carry) -> None:
    count = "echo x >> tries; wc -l < tries; test $(wc -l < tries) = 3"
    outcomes = carry(console(f"$ {count}\n3", "until=10") + console("$ false", "until=1"))

    assert problems(outcomes) == ["", "exit 1 instead of 0"]
    assert 2 <= outcomes[0].seconds < 10
    assert outcomes[1].seconds >= 1


def test_what_was_printed_last_is_pasted(carry: Carry) -> None:
    outcomes = carry(
        console("$ echo SWMTKN-1-old; echo join SWMTKN-1-new now\n...")
        + console("$ echo SWMTKN-1-... vm1:2377 a...b\nSWMTKN-1-new vm1:2377 ab", "paste")
    )
    assert "a...b" in outcomes[1].problem

    outcomes = carry(
        console("$ echo join SWMTKN-1-new now\n...")
        + console("$ echo SWMTKN-1-... vm1:2377\nSWMTKN-1-new vm1:2377", "paste")
    )
    assert problems(outcomes) == ["", ""]


def test_a_file_is_written_as_it_stands(carry: Carry) -> None:
    block = "<!-- rehearse: file=app.sh -->\n```bash\n#!/bin/sh\necho '$HOME'\n```\n\n"
    outcomes = carry(block + console("$ sh app.sh\n$HOME"))

    assert problems(outcomes) == ["", ""]


def test_a_box_is_what_the_rehearsal_asks_for(tmp_path: Path) -> None:
    from labkit.rehearsal.reach import Reach

    with box(tmp_path) as one:
        asked = {name for name in vars(Box) if not name.startswith("_")}
        assert one.name
    assert asked <= {*vars(Reach), "name", "attendee", "mesh", "lost"}
