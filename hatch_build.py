"""Carries playbooks, roles, guide and apps in the wheel; a checkout has them beside the package."""

import runpy
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDERS = ("playbooks", "roles", "guide", "fortune-clock", "todo", "tests/images")


class Content(BuildHookInterface):
    """Names each file, so that what npm and Python leave in these folders stays out."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the files to the wheel, unless it is one of a checkout."""
        if version == "editable":
            return
        root = Path(self.root)
        files_of = runpy.run_path(str(root / "labkit" / "paths.py"))["files_of"]
        for folder in FOLDERS:
            for file in files_of(root / folder):
                place = f"labkit/content/{file.relative_to(root)}"
                build_data["force_include"][str(file)] = place
