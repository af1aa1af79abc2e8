"""When the engine is restarted."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/docker_engine"
service = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_engine_service.py")))


@pytest.mark.parametrize(
    ("configured", "started", "restart"),
    [
        (50.0, 60.0, False),  # it read these settings when it started
        (70.0, 60.0, True),
        (200.0, 60.0, False),  # written by a clock that was wrong: now is 100
    ],
)
def test_the_engine_is_restarted_for_settings_that_it_has_not_read(
    configured: float, started: float, *, restart: bool
) -> None:
    assert service.needs_restart(configured, started, 100.0) is restart
