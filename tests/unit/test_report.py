"""The report of a run: one page, on which everything is found and nothing is believed."""

import re
from html.parser import HTMLParser
from pathlib import Path

from labkit.events import Event, Kind, Reason
from labkit.past import Change
from labkit.report import Told, column_of, report_page, state_of
from labkit.verdicts import CHECKS, Progress, State

WHY = Reason(
    "chapter 02, step 1 (guide/02-a.md:4): docker ps", "exit 1 instead of 0\n- a\n+ b", "do"
)


def check(name: str, kind: Kind = Kind.OK, at: str = "test_engine.py::test_x") -> Event:
    return Event(kind, "vm1", name, CHECKS, 0.5, data={"at": at, "output": ""})


def step(chapter: str, name: str, kind: Kind = Kind.OK, why: str = "", output: str = "") -> Event:
    data = {"at": "guide/02-a.md:4", "output": output, "why": why}
    reasons = (WHY,) if kind is Kind.FAILED else ()
    return Event(kind, "vm1", name, f"chapter {chapter}", 1.0, reasons, data=data)


def page(*events: Event, state: State = State.READY, **changes: Change) -> str:
    machine = Progress("vm1", "seat01", state, started=0.0, ended=75.0)
    machine.reasons = [reason for event in events for reason in event.reasons]
    keyed = {("vm1", "chapter 02", name): change for name, change in changes.items()}
    told = Told(events, {"chapter 02": "In the background"})
    return report_page(Path("/home/anna/docker class/class.ini"), told, [machine], keyed)


def test_what_is_wrong_stands_on_top_with_what_to_do() -> None:
    text = page(check("works"), step("02", "step 1: docker ps", Kind.FAILED), state=State.NOT_READY)

    top, grid = text.split("Every machine")
    assert "What is wrong, and what to do" in top
    assert "chapter 02, step 1 (guide/02-a.md:4): docker ps" in top
    assert '<span class="minus">- a</span>' in top
    assert '<p class="todo">do</p>' in top
    assert "chapter 02: In the background: failed" in grid
    assert "<title>0 of 1 ready: docker class</title>" in text


def test_where_all_is_well_nothing_is_wrong() -> None:
    text = page(check("works"), step("02", "step 1: docker ps", output="CONTAINER ID"))

    assert "What is wrong" not in text
    assert "<title>1 of 1 ready: docker class</title>" in text
    assert "took 1 min 15 s" in text
    assert "CONTAINER ID" in text


def test_columns_are_checks_then_chapters_then_appendices() -> None:
    text = page(
        check("b", at="labkit"),
        check("a"),
        check("c", at="test_seat.py::x"),
        *(step(number, "step 1") for number in ("A10", "10", "A2", "02")),
    )
    heads = re.findall(r'<span class="(?:checks|chapters)" title="[^"]*">([^<]*)</span>', text)

    assert heads == ["reach", "engine", "seat", "02", "10", "A2", "A10"]


def test_a_cell_says_the_worst_that_happened() -> None:
    passed, failed = step("02", "a"), step("02", "b", Kind.FAILED)
    left = step("02", "c", Kind.SKIPPED, "left out: no routing mesh")
    broken = step("02", "d", Kind.SKIPPED, "not run: step 1 failed on vm2")

    assert state_of([passed]) == "passed"
    assert state_of([passed, left]) == "passed"
    assert state_of([passed, broken]) == "skipped"
    assert state_of([failed, broken]) == "failed"
    assert state_of([left]) == "skipped"
    assert state_of([]) == "none"
    assert state_of([check("x", Kind.UNREACHABLE), failed]) == "unreachable"


def test_a_check_belongs_to_the_file_it_stands_in() -> None:
    assert column_of(check("x", at="test_images.py::test_a[ubuntu]")) == "images"
    assert column_of(check("x", at="labkit")) == "reach"
    assert column_of(step("02", "x")) == "chapter 02"


def test_what_changed_is_marked() -> None:
    text = page(step("02", "a"), step("03", "b"), a=Change.BETTER)

    assert "chapter 02: In the background: passed, better than before" in text
    assert "better than before</li>" in text
    assert "worse than before" not in text


class Tags(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_is_loaded_from_elsewhere_and_no_script_runs() -> None:
    evil = "<script>alert(1)</script><img src=https://elsewhere/x>"
    text = page(
        step("02", f"step 1: {evil}", Kind.FAILED, output=evil), check(evil), state=State.NOT_READY
    )
    found = Tags(text).tags

    assert {tag for tag, _ in found} & {"script", "img", "iframe", "object", "form"} == set()
    links = [one.get("href") or one.get("src") for _, one in found]
    assert [one for one in links if one] == ["data:,"]
    assert "url(" not in text
    assert "@import" not in text
