"""Where the sandbox keeps what outlives it, and what it must find again without its directory."""

import os
from pathlib import Path


def folder() -> Path:
    """Return labkit's cache: images of the stand-in registry, and a folder per sandbox."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "labkit"


def registry_data() -> Path:
    """Return the folder with the stand-ins' bytes, shared by all sandboxes and kept."""
    return folder() / "registry"


def sandbox_folder(sandbox: str) -> Path:
    """Return the folder of one sandbox's running registry; it goes with the sandbox."""
    return folder() / "sandboxes" / sandbox
