"""The workshop itself, on machines that were just provisioned."""

import json
from pathlib import Path

import pytest
from conftest import MACHINES, Answer, Room, labkit
from playwright.sync_api import Page

from labkit.guide.reader import read_guide
from labkit.paths import content

pytestmark = pytest.mark.machines

GUIDE = read_guide(content() / "guide").chapters
CHAPTERS = [one.number for one in GUIDE]
SWARM = {one.number for one in GUIDE if one.machines > 1}


def chapters(answer: Answer) -> set[str]:
    return {
        line["part"].removeprefix("chapter ")
        for line in answer.lines
        if line["type"] == "event" and line["kind"] == "ok" and line["part"] != "checks"
    }


def test_every_command_of_the_guide_works_on_one_machine(
    room: Room, tmp_path: Path, page: Page
) -> None:
    html = tmp_path / "report.html"
    answer = room.labkit("verify", "--limit", MACHINES[0], "--rehearse", "--html", str(html))

    assert answer.states == {MACHINES[0]: "ready"}, answer.explain()
    assert chapters(answer) == set(CHAPTERS) - SWARM
    notes = json.dumps(answer.verdicts[MACHINES[0]]["notes"])
    for number in SWARM:
        assert f"chapter {number} not run: needs 3 machines" in notes
    look_at(page, html, tmp_path / "report.png")


def test_a_seat_becomes_a_swarm(room: Room) -> None:
    answer = room.labkit("verify", f"--rehearse={','.join(sorted(SWARM))}")

    assert answer.states == dict.fromkeys(MACHINES, "ready"), answer.explain()
    assert chapters(answer) == SWARM
    assert "put back" not in json.dumps(answer.verdicts), "a chapter has left something behind"


def test_the_guide_opens_in_a_browser(tmp_path: Path, page: Page) -> None:
    assert labkit("guide", "--html", str(tmp_path / "site")).code == 0
    look_at(page, tmp_path / "site" / "index.html", tmp_path / "guide.png")
    page.get_by_role("link", name="Compose").first.click()
    assert "Compose" in page.title()


def look_at(page: Page, file: Path, picture: Path) -> None:
    """Open a file in the browser: nothing is asked for elsewhere, and nothing is wrong."""
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(file.as_uri())
    page.screenshot(path=str(picture))
    page.set_viewport_size({"width": 390, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1200, "height": 800})

    assert not [url for url in asked if not url.startswith(("file:", "data:"))]
    assert not wrong
    assert wide <= 390, "it has to be scrolled sideways on a phone"
