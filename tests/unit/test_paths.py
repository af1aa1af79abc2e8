"""Which files of labkit's own count."""

import runpy
from pathlib import Path

from labkit.paths import LEFT_OUT, content, files_of


def test_the_files_of_an_app_are_those_that_an_attendee_sees(tmp_path: Path) -> None:
    for name in ("b/c.txt", "a.txt", "b/__pycache__/c.pyc", "node_modules/x/y.js", ".env"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert [str(file.relative_to(tmp_path)) for file in files_of(tmp_path)] == [
        ".env",
        "a.txt",
        "b/c.txt",
    ]


def test_what_is_left_out_is_what_is_not_staged() -> None:
    plugin = content() / "roles/sample_apps/action_plugins/labkit_staged_files.py"

    assert runpy.run_path(str(plugin))["LEFT_OUT"] == LEFT_OUT
