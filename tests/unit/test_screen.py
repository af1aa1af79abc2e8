"""What a terminal prints is read as people see it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.rehearsal.screen import drawn, without_echo


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("one\r\ntwo\r\n", "one\ntwo\n"),
        ("\x1b[1;32mgreen\x1b[0m", "green"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[?2004hroot@f00:/# ", "root@f00:/# "),
        ("10 %\r50 %\r100 %\r\n", "100 %\n"),
        ("\x1b(Btext\x1b=", "text"),
        ("a\x07b\x00", "ab"),
        ("lt\x08s", "ls"),
        ("grün …\ttab", "grün …\ttab"),
    ],
)
def test_only_what_one_sees_is_left(printed: str, seen: str) -> None:
    assert drawn(printed) == seen


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"])))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert drawn(text) == text


@pytest.mark.parametrize(
    ("seen", "typed", "rest"),
    [
        ("date\nWed\nroot@f00:/# ", "date", "Wed\nroot@f00:/# "),
        ("cat <<E\n> hello\n> E\nhello\n", "cat <<E\nhello\nE", "hello\n"),
        # A long line, broken where the terminal ends.
        ("echo aaa \nbbb\nanswer", "echo aaa bbb", "answer"),
        ("echo > file\nroot@f00:/# ", "echo > file", "root@f00:/# "),
        ("no echo at all", "date", "no echo at all"),
        ("all of it", "", "all of it"),
    ],
)
def test_what_a_program_repeats_is_no_answer(seen: str, typed: str, rest: str) -> None:
    assert without_echo(seen, typed) == rest


@given(
    st.lists(st.text("ab >'\"", min_size=1).filter(str.strip), min_size=1, max_size=4),
    st.text("xyz\n"),
)
def test_the_answer_is_found_behind_any_repetition(typed: list[str], answer: str) -> None:
    assert without_echo("\n> ".join(typed) + "\n" + answer, "\n".join(typed)) == answer
