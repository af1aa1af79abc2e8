"""What is printed is compared with what the guide expects, and told where it differs."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.guide.match import ANY, compare, fits

# Without dots: `....` could be read in two ways.
LINE = st.text(st.characters(codec="utf-8", exclude_characters="\n\r."), max_size=12)
LINES = st.lists(LINE, max_size=8)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("Hello from Docker!", "Hello from Docker!   "),
        ("Deleted: sha256:...", "Deleted: sha256:a8bb90067365"),
        ("...: Pull complete", "a8bb90067365: Pull complete"),
        ("... ubuntu ... clock", 'f00   ubuntu   "bash"   3 s ago   Up 3 s   clock'),
        ("CONTAINER ID  IMAGE  NAMES", "CONTAINER ID   IMAGE     NAMES"),
        # What `...` stands for in a column may be nothing.
        ("f00 ... clock", "f00   clock"),
        ("... Ready", "Ready"),
        ("Ready ...", "Ready"),
        ("a.b", "a.b"),
        ("$1 [x] (y)*", "$1 [x] (y)*"),
        ("\tone", "  one"),
    ],
)
def test_a_line_fits(expected: str, seen: str) -> None:
    assert fits(expected, seen)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("Hello", "Hello!"),
        ("a.b", "axb"),
        ("one two", "onetwo"),
        ("one", "  one"),
        ("sha256:... done", "sha256:abcdone"),
        ("Up ... clock", "Up 3 s   clocks"),
        ("", "x"),
    ],
)
def test_a_line_does_not_fit(expected: str, seen: str) -> None:
    assert not fits(expected, seen)


@pytest.mark.parametrize(
    ("expected", "seen"),
    [
        ("a", "a\n\n"),
        ("...\nb", "b"),
        ("...\nb", "x\ny\nb"),
        ("a\n...", "a"),
        ("a\n...\nc", "a\nb\nc\nb\nc"),
        ("...\n...", ""),
        ("a\n\nb", "a\n\nb"),
        # The first line that fits is not the right one.
        ("...\nx ...\ny", "x 1\nx 2\ny"),
    ],
)
def test_an_output_is_as_expected(expected: str, seen: str) -> None:
    assert compare(expected.split("\n"), seen.split("\n")) is None


@pytest.mark.parametrize(
    ("expected", "seen", "missing", "diff"),
    [
        ("a\nb", "a\nc", "b", "  a\n- b\n+ c"),
        ("a", "a\nb", "", "  a\n+ b"),
        ("a\nb", "", "a", "- a\n- b"),
        ("a\n...\nd\ne", "a\nb\nc\nd", "e", "  a\n  b\n  c\n  d\n- e"),
        ("x ...\nd", "x 1\nc", "d", "  x 1\n- d\n+ c"),
        ("a\n\nb", "a\nb", "", "  a\n-\n  b"),
    ],
)
def test_a_difference_is_shown_where_it_is(
    expected: str, seen: str, missing: str, diff: str
) -> None:
    found = compare(expected.split("\n"), seen.split("\n"))

    assert found
    assert (found.missing, str(found)) == (missing, diff)


def test_what_is_alike_is_left_out_of_a_long_difference() -> None:
    lines = [str(number) for number in range(100)]
    found = compare([*lines, "end"], [*lines, "other"])

    assert found
    assert found.diff == ("  … 97 more lines", "  97", "  98", "  99", "- end", "+ other")


def test_of_a_long_surplus_both_ends_are_shown() -> None:
    found = compare(["a"], [str(number) for number in range(100)])

    assert found
    assert found.diff[:2] == ("- a", "+ 0")
    assert found.diff[-1] == "+ 99"
    assert "+ … 84 more lines" in found.diff


@given(LINES)
def test_every_output_is_as_itself(seen: Sequence[str]) -> None:
    assert compare(seen, seen) is None


@given(LINES, LINES, LINES)
def test_any_lines_may_stand_for_dots(
    before: Sequence[str], between: Sequence[str], after: Sequence[str]
) -> None:
    assert compare([*before, ANY, *after], [*before, *between, *after]) is None


@given(LINE, LINE, LINE)
def test_any_text_may_stand_for_dots(before: str, between: str, after: str) -> None:
    assert fits(f"{before}{ANY}{after}", f"{before}{between}{after}")


@given(LINES, LINES, st.sampled_from([1, 2, 5]), st.sampled_from(["", "  ", " \t"]))
def test_blanks_do_not_count(head: Sequence[str], tail: Sequence[str], wide: int, end: str) -> None:
    expected = [*head, "one two", *tail]
    seen = [*head, f"one{' ' * wide}two{end}", *tail, end, ""]

    assert compare(expected, seen) is None


@given(LINES, LINES)
def test_a_difference_holds_all_that_has_no_partner(
    expected: Sequence[str], seen: Sequence[str]
) -> None:
    found = compare(expected, seen)
    if found is None:
        return
    kept = [line[2:] for line in found.diff if line.startswith(("  ", "+ "))]
    shown = [line.rstrip() for line in kept if not line.startswith("… ")]
    # A difference may leave lines out, but it neither makes any up nor changes their order.
    rest = iter([line.rstrip() for line in seen])
    assert all(line in rest for line in shown)


def simple(expected: Sequence[str], seen: Sequence[str]) -> bool:
    """Say the same in the plainest way: a regular expression over all lines."""
    pattern = "".join(
        r"(?:[^\n]*\n)*" if one == ANY else f"{re.escape(one)}\\n" for one in expected
    )
    return re.fullmatch(pattern, "".join(f"{one}\n" for one in seen)) is not None


@given(
    st.lists(st.sampled_from(["a", "b", "c", ANY]), max_size=7),
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=9),
)
def test_it_agrees_with_a_plain_regular_expression(
    expected: Sequence[str], seen: Sequence[str]
) -> None:
    assert (compare(expected, seen) is None) is simple(expected, seen)
