"""The report of thirty machines in a browser: by keyboard alone, on a phone, and on paper."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from labkit.events import Event, Kind, Reason
from labkit.past import Change
from labkit.report import Told, report_page
from labkit.verdicts import CHECKS, Progress, State

TOPICS = ("engine", "packages", "login", "machine", "images", "apps", "seat", "traces")
CHAPTERS = [f"{number:02}" for number in range(1, 15)]
PORT = "docker: Error response from daemon: Bind for 0.0.0.0:80 failed: port is already allocated."
WHY = Reason(
    "chapter 09, step 3 (guide/09-ports.md:83): docker run -d -p 80:80 nginx",
    f"exit 125 instead of 0\n- ...\n+ {PORT}",
    "end what listens there on the machine; who it is: sudo ss -ltnp",
)


def events(machine: str, *, troubled: bool) -> Iterator[Event]:
    for topic in TOPICS:
        data = {"at": f"test_{topic}.py::test_it", "output": ""}
        yield Event(Kind.OK, machine, f"the {topic} is well", CHECKS, 0.2, data=data)
    for chapter in CHAPTERS:
        bad = troubled and chapter == "09"
        kind, reasons = (Kind.FAILED, (WHY,)) if bad else (Kind.OK, ())
        data = {"at": f"guide/{chapter}-a.md:7", "output": "CONTAINER ID   IMAGE\n"}
        step = "step 3: docker run -d -p 80:80 nginx"
        yield Event(kind, machine, step, f"chapter {chapter}", 1.5, reasons, data=data)


@pytest.fixture
def report(tmp_path: Path, page: Page, request: pytest.FixtureRequest) -> Page:
    """Open the report of thirty machines, of which as many as the test says are in trouble."""
    troubled: int = request.param
    names = [f"seat{seat:02}-vm{number}" for seat in range(1, 11) for number in range(1, 4)]
    happened: list[Event] = []
    verdicts = []
    for place, name in enumerate(names):
        bad = place < troubled
        happened += events(name, troubled=bad)
        state = State.NOT_READY if bad else State.READY
        verdicts.append(Progress(name, name[:6], state, started=0.0, ended=200.0 + place))
        verdicts[-1].reasons = [WHY] * 3 if bad else []
    changes = {(names[0], "chapter 09", "step 3: docker run -d -p 80:80 nginx"): Change.WORSE}
    titles = {f"chapter {chapter}": "A chapter of some length" for chapter in CHAPTERS}
    file = tmp_path / "report.html"
    told = Told(happened, titles)
    file.write_text(report_page(tmp_path / "class.ini", told, verdicts, changes))
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize("report", [1], indirect=True)
def test_evidence_is_reached_by_keyboard_alone(report: Page) -> None:
    row = report.locator("details.row").first
    failed = row.locator("details.part.has-failed")
    assert not failed.is_visible()
    # Whatever can be scrolled sideways is on the way.
    for _ in range(20):
        report.keyboard.press("Tab")
        if report.evaluate("document.activeElement.parentElement.className").startswith("row"):
            break
    report.keyboard.press("Enter")

    assert failed.is_visible()
    assert PORT in failed.inner_text()
    assert "sudo ss -ltnp" in failed.inner_text()
    passed = row.locator("details.part.has-passed > summary").last
    passed.focus()
    report.keyboard.press("Enter")
    assert "step 3: docker run -d -p 80:80 nginx" in row.locator("details.part").last.inner_text()


@pytest.mark.parametrize("report", [0, 2, 30], indirect=True)
def test_it_prints_on_one_sheet(report: Page) -> None:
    sheet = report.pdf(prefer_css_page_size=True)

    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", sheet)) == 1


@pytest.mark.parametrize("report", [30], indirect=True)
@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_it_fits_any_screen(report: Page, width: int) -> None:
    report.set_viewport_size({"width": width, "height": 800})

    assert report.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("report", [2], indirect=True)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_it_says_can_be_told_from_what_it_stands_on(report: Page, scheme: str) -> None:
    report.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    colours = report.evaluate(
        "[...document.querySelectorAll('h1, .todo, .name span, pre, header p')].map(e => {"
        " let b = e; while (getComputedStyle(b).backgroundColor.endsWith(', 0)')) b = b.parentElement;"
        " return [getComputedStyle(e).color, getComputedStyle(b).backgroundColor]})"
    )

    for front, back in colours:
        assert contrast(front, back) >= 4.5, (front, back)


def contrast(front: str, back: str) -> float:
    """Return the contrast of two colours as WCAG 2 counts it; 4.5 is enough for text."""
    high, low = sorted((luminance(front), luminance(back)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
