"""The to-do app's page on a provisioned machine, in a real browser on the controller."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MACHINES, Room
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.machines

VM1 = MACHINES[0]


@pytest.fixture
def address(room: Room) -> Iterator[str]:
    """Run the app with Compose, and give the page's address."""

    def compose(words: str) -> None:
        done = room.as_attendee(VM1, f"cd todo && docker compose {words}")
        assert done.returncode == 0, done.stderr

    compose("up --build --detach --wait")
    yield f"http://{room.address(VM1)}:3000"
    compose("down --volumes")
    room.as_attendee(VM1, "docker rmi -f todo:1.0")


def test_an_attendee_keeps_a_list(room: Room, address: str, page: Page, tmp_path: Path) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: wrong.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    rows = page.get_by_role("listitem")
    for text in ("Learn Docker", "Eat lunch", "Go home"):
        page.get_by_label("What is to be done?").fill(text)
        page.keyboard.press("Enter")
        expect(rows.filter(has_text=text)).to_be_visible()
    page.get_by_label("Learn Docker", exact=True).click()
    page.get_by_role("button", name="Delete Eat lunch").click()
    expect(rows).to_have_count(2)
    page.reload()

    expect(rows).to_have_count(2)
    expect(page.get_by_label("Learn Docker", exact=True)).to_be_checked()
    expect(page.get_by_text("Running on host")).to_contain_text(container(room))
    assert not wrong
    assert {url for url in asked if not url.startswith(f"{address}/")} == set()
    page.screenshot(path=str(tmp_path / "list.png"))

    room.as_attendee(VM1, "cd todo && docker compose stop db")
    expect(page.get_by_role("alert")).to_contain_text("database", timeout=15_000)
    page.screenshot(path=str(tmp_path / "trouble.png"))
    room.as_attendee(VM1, "cd todo && docker compose start db")
    expect(page.get_by_role("alert")).to_have_count(0, timeout=30_000)
    expect(rows).to_have_count(2)


def container(room: Room) -> str:
    """Return the app's host name, which is the beginning of its container's id."""
    return room.as_attendee(VM1, "docker ps -q --filter name=todo-app").stdout.strip()
