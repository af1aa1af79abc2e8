"""What the box's own npm and Go are told about mirrors, in the form their images want it."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Any

# Never the whole of their settings, which may hold somebody's tokens.
_NPM_SETTINGS = ("registry", "proxy", "https-proxy")
_GO_SETTINGS = ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GONOPROXY", "GOINSECURE")
_LOOPBACK = re.compile(r"//(localhost|127\.)")


def npmrc(authorities: str) -> str:
    """
    Return npm's settings file for an image, with the mirror and the proxies of the box's npm.

    `authorities` is the path of the file, in the image, with the authorities to trust.
    """
    return read_npm(_ask("npm", "config", "ls", "--json"), authorities)


def read_npm(listing: str, authorities: str) -> str:
    """Pick what holds on a machine too out of `npm config ls --json`."""
    settings = json.loads(listing) if listing else {}
    kept = _usable({key: settings.get(key) for key in _NPM_SETTINGS})
    return "".join(f"{key}={value}\n" for key, value in (kept | {"cafile": authorities}).items())


def npm_registry() -> str:
    """Return the registry that the box's own npm asks, "" where it has none to name to others."""
    listing = _ask("npm", "config", "ls", "--json")
    return _usable(json.loads(listing) if listing else {}).get("registry", "")


def go_env() -> str:
    """Return Go's settings file for an image, with the module proxy of the box's Go."""
    return read_go(_ask("go", "env", "-json", *_GO_SETTINGS), os.environ)


def read_go(listing: str, environment: Mapping[str, str]) -> str:
    """Pick the settings out of `go env -json`, or where there is no Go, of the environment."""
    settings = json.loads(listing) if listing else environment
    kept = _usable({key: settings.get(key) for key in _GO_SETTINGS})
    return "".join(f"{key}={value}\n" for key, value in kept.items())


def _usable(settings: Mapping[str, Any]) -> dict[str, str]:
    # A mirror on the box's loopback is nothing that a container could reach.
    return {
        key: str(value)
        for key, value in settings.items()
        if value and not _LOOPBACK.search(str(value))
    }


def _ask(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    # Not from a project's folder, whose own settings are none of the box's.
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/").stdout
