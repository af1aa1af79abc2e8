"""Whether what was printed is what the guide expects, and if not, how the two differ."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

ANY = "..."
# Lines of a diff that are kept on either side of what is left out of it.
CONTEXT = 3
SURPLUS = 8

# An expected and a seen line that belong together; None is for a line without a partner.
Pair = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """
    How what was seen differs from what was expected.

    `missing` is the first expected line that was not found, empty where something was
    printed too much. The lines of `diff` begin with a blank (both), - (missing) or + (surplus).
    """

    missing: str
    diff: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join(self.diff)


def compare(expected: Sequence[str], seen: Sequence[str]) -> Difference | None:
    """
    Return None where the seen lines are as expected, and otherwise how they differ.

    A line `...` stands for any lines, `...` in a line for any text; a run of blanks is as
    good as one, blanks at a line's end and blank lines at the end do not count.
    """
    pairs = list(_align(_without_end(expected), _without_end(seen)))
    if all(None not in pair for pair in pairs):
        return None
    missing = next((wanted for wanted, found in pairs if found is None), None)
    return Difference(missing or "", tuple(_folded(pairs)))


def fits(expected: str, seen: str) -> bool:
    """Tell whether one line is as expected."""
    return pattern(expected).fullmatch(_plain(seen)) is not None


@lru_cache(maxsize=4096)
def pattern(line: str) -> re.Pattern[str]:
    """Return what an expected line stands for; it wants a seen line whose blanks are single."""
    first, *rest = _plain(line).split(ANY)
    text = re.escape(first)
    begins = not first
    for piece in rest:
        # What `...` stands for between blanks may be nothing: then one of the two goes too.
        if (begins or text.endswith("\\ ")) and (not piece or piece.startswith(" ")):
            kept = text.removesuffix("\\ ")
            text = f"{kept}(?: .*)?" if kept else "(?:.* )?" if piece else ".*"
            piece = piece if kept else piece.lstrip()  # noqa: PLW2901 - its blank is in the group
        else:
            text += ".*"
        text += re.escape(piece)
        begins = False
    return re.compile(text, re.DOTALL)


def _plain(line: str) -> str:
    return re.sub(r"[ \t]+", " ", line).rstrip(" ")


def _without_end(lines: Sequence[str]) -> Sequence[str]:
    end = len(lines)
    while end and not lines[end - 1].strip():
        end -= 1
    return lines[:end]


def _align(want: Sequence[str], have: Sequence[str]) -> Iterator[Pair]:
    """
    Yield pairs that leave as few lines as possible without a partner.

    A line that a `...` stands for comes as (ANY, line); a `...` that stands for nothing
    does not come at all.
    """
    costs = _costs(want, have)
    row = column = 0
    while (row, column) != (len(want), len(have)):
        here = costs[row][column]
        if row < len(want) and _free(want[row], behind=column == len(have)):
            if costs[row + 1][column] == here:
                row += 1
            else:
                yield ANY, have[column]
                column += 1
        elif row < len(want) and column < len(have) and fits(want[row], have[column]):
            yield want[row], have[column]
            row, column = row + 1, column + 1
        elif row < len(want) and costs[row + 1][column] + 1 == here:
            yield want[row], None
            row += 1
        else:
            yield None, have[column]
            column += 1


def _costs(want: Sequence[str], have: Sequence[str]) -> list[list[int]]:
    """Return for each pair of places how many lines behind them stay without a partner."""
    costs = [[0] * (len(have) + 1) for _ in range(len(want) + 1)]
    costs[-1] = list(range(len(have), -1, -1))
    plain = [_plain(line) for line in have]
    for row in range(len(want) - 1, -1, -1):
        below, here = costs[row + 1], costs[row]
        free = _free(want[row])
        fitting = pattern(want[row])
        here[-1] = below[-1] + (not _free(want[row], behind=True))
        for column in range(len(have) - 1, -1, -1):
            if free:
                here[column] = min(below[column], here[column + 1])
            elif fitting.fullmatch(plain[column]):
                here[column] = below[column + 1]
            else:
                here[column] = 1 + min(below[column], here[column + 1])
    return costs


def _free(line: str, *, behind: bool = False) -> bool:
    """Tell whether an expected line may stand for nothing, as a blank one may at the very end."""
    return line.strip() == ANY or (behind and not line.strip())


def _folded(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield the lines of a diff, long runs that say nothing new cut short."""
    runs = [(mark, [_text(pair) for pair in run]) for mark, run in groupby(pairs, _mark)]
    for place, (mark, lines) in enumerate(runs):
        keep = SURPLUS if mark == "+" else CONTEXT
        head = 0 if mark == " " and place == 0 else keep
        tail = 0 if mark == " " and place == len(runs) - 1 else keep
        cut = len(lines) - head - tail
        if mark == "-" or cut <= 1:
            head, tail, cut = len(lines), 0, 0
        yield from (f"{mark} {line}".rstrip() for line in lines[:head])
        if cut:
            yield f"{mark} … {cut} more lines"
        yield from (f"{mark} {line}".rstrip() for line in lines[len(lines) - tail :])


def _mark(pair: Pair) -> str:
    wanted, found = pair
    return "+" if wanted is None else "-" if found is None else " "


def _text(pair: Pair) -> str:
    wanted, found = pair
    return found if found is not None else wanted or ""
