"""How far a download is, told off a terminal: what is new, and not too often."""

from io import StringIO

import pytest
from rich.console import Console

from labkit import display
from labkit.display import Freight

MB = 1_000_000


def test_what_was_said_is_not_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    said, now = StringIO(), [0.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    with Freight(Console(file=said, width=80)) as show:
        for seconds, done in ((1, 3), (11, 16), (12, 17), (25, 16), (40, 16), (41, 50), (42, 60)):
            now[0] = seconds
            show.take({"done": done * MB, "total": 767 * MB})

    assert said.getvalue().splitlines() == ["· 16 of 767 MB", "· 50 of 767 MB"]


def test_what_docker_hub_allows_is_told_in_words() -> None:
    said = StringIO()
    Freight(Console(file=said, width=80)).take(
        {"limits": {"limit": 100, "remaining": 76, "seconds": 21600}}
    )

    assert said.getvalue() == "· pulls from Docker Hub: 76 of 100 per 6 hours are left\n"
