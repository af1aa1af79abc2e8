"""What must not be in any file, and what a script has to be."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from house import FILES, ROOT, name, text

SCRIPTS = [file for file in FILES if re.match(r"#! ?/\S*(bash|sh|env bash)\b", text(file)[:40])]
COMMANDS = [file for file in FILES if name(file).startswith(("script/", ".ci/"))]
DOCKERFILES = [file for file in FILES if file.name.startswith("Dockerfile")]
# Docker's own public addresses are part of what labkit teaches.
PUBLIC = {"download.docker.com", "registry-1.docker.io"}


def answer(*command: str) -> str:
    """Return what a tool says of its own settings, nothing where there is no such tool."""
    if not shutil.which(command[0]):
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/").stdout


def settings_of_this_box() -> str:
    """Return whatever names the places that this box fetches packages from."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt").glob("sources.list.d/*")]
    return "\n".join(
        (
            *(text(place) for place in places if place.is_file()),
            answer("npm", "config", "get", "registry"),
            answer("pip", "config", "list"),
            answer("go", "env", "GOPROXY"),
            *(value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_"))),
        )
    )


def registries() -> set[str]:
    from pip._internal.models.index import PyPI

    hosts = re.findall(
        r"(?m)^(?!\s*#).*?\w+://(?:[^@/\s]*@)?([\w.-]+\.\w+)", settings_of_this_box()
    )
    return {*hosts, PyPI.netloc, PyPI.file_storage_domain} - PUBLIC


def found(needles: set[str]) -> list[str]:
    """Return `file:line` wherever one of the words stands, as a word of its own."""
    pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(one)}(?![\w-])" for one in needles))
    return [
        f"{name(file)}:{number}"
        for file in FILES
        for number, line in enumerate(text(file).splitlines(), 1)
        if pattern.search(line)
    ]


def test_no_file_names_a_package_registry() -> None:
    assert found(registries()) == []


def test_no_file_names_a_place_on_this_machine() -> None:
    assert found({str(ROOT)}) == []


def test_latest_is_no_version() -> None:
    # A tag that the workshop's own commands need may bear that name: its bytes are pinned elsewhere.
    places = [
        f"{name(file)}:{number}"
        for file in FILES
        if file.suffix in {".yml", ".yaml", ".py", ".ini", ".sh", ".json", ".toml"}
        or file in SCRIPTS
        or file in DOCKERFILES
        if not name(file).startswith("tests/")
        for number, line in enumerate(text(file).splitlines(), 1)
        if re.search(r"[\w}]:latest\b", line) and "tags" not in line
    ]

    assert places == []


@pytest.mark.parametrize("file", DOCKERFILES, ids=name)
def test_a_base_image_has_a_version(file: Path) -> None:
    bases = re.findall(r"(?mi)^FROM\s+(?:--\S+\s+)?(\S+)", text(file))

    assert bases
    for base in bases:
        assert base == "scratch" or re.search(r"[:@$]", base), f"{base} has no version"


def test_scripts_are_found() -> None:
    assert {"script/test", "script/setup", ".ci/run"} <= {name(file) for file in SCRIPTS}


@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_a_script_is_understood_by_its_shell(file: Path) -> None:
    shell = "bash" if "bash" in text(file).splitlines()[0] else "sh"
    read = subprocess.run([shell, "-n", file], capture_output=True, text=True, check=False)

    assert read.returncode == 0, read.stderr


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="there is no shellcheck on this box")
@pytest.mark.parametrize("file", SCRIPTS, ids=name)
def test_a_script_has_none_of_the_usual_faults(file: Path) -> None:
    looked = subprocess.run(
        ["shellcheck", "--format=json", "--external-sources", "--source-path=SCRIPTDIR", file],
        capture_output=True,
        text=True,
        check=False,
    )

    assert [f"{one['line']}: {one['message']}" for one in json.loads(looked.stdout)] == []


@pytest.mark.parametrize("file", COMMANDS, ids=name)
def test_a_command_of_the_house_stops_at_its_first_failure(file: Path) -> None:
    assert os.access(file, os.X_OK)
    assert text(file).splitlines()[0] == "#!/usr/bin/env bash"
    assert re.search(r"(?m)^set -euo pipefail$", text(file))
