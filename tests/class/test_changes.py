"""The page that tells what labkit changes is held against what a machine shows before and after."""

import re
from pathlib import Path

import pytest
import yaml
from conftest import MACHINES, Answer, Room
from snapshot import Snapshot, take

pytestmark = pytest.mark.machines

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "what-labkit-changes.md").read_text()
# A row of the table: | role | what | undo |. A depot is none of the class's machines.
ROWS = re.findall(r"^\| `(?!depot`)\w+` \| (.+) \| .+ \|$", PAGE, re.MULTILINE)
# What packages' own scripts keep, and what systemd and the account's tools write in their turn.
NOBODYS = re.compile(
    r"/etc/(alternatives/|rc\d\.d/|ld\.so\.cache$|shells$|systemd/system/\w[\w-]*\.target\.wants/"
    r"|(passwd|group|shadow|gshadow|subuid|subgid)-?$)|/home/student/\.(bash|profile)"
)
# On Debian 13 the old name is a link to the new one.
LINKED = {"/etc/locale.conf": "/etc/default/locale"}


def named(rows: list[str]) -> set[str]:
    """Return the absolute paths that rows of the table name."""
    return {path.rstrip("/") for row in rows for path in re.findall(r"`(/[\w./-]+)`", row)}


@pytest.fixture(scope="module")
def after(bare: Room, cold: Answer) -> Snapshot:
    assert cold.code == 0, cold.explain()
    return take(lambda line: bare.as_root(MACHINES[0], line))


def test_every_file_that_labkit_touched_is_on_the_page(
    untouched: Snapshot, after: Snapshot
) -> None:
    told = named(ROWS)
    apps = {f"/home/student/{name}" for name in defaults("sample_apps")["sample_apps_names"]}
    secret = [
        path
        for path in after.touched(untouched) - after.owned - untouched.owned
        if not NOBODYS.match(path)
        and not any(f"{LINKED.get(path, path)}/".startswith(f"{one}/") for one in told | apps)
    ]

    assert sorted(secret) == []


def test_every_file_on_the_page_is_there(after: Snapshot) -> None:
    always = [row for row in ROWS if not re.search(r"\b(where|with)\b", row)]
    there = {str(parent) for path in after.files for parent in (Path(path), *Path(path).parents)}
    elsewhere = {"/var/lib/docker"}

    assert len(always) >= 8
    assert named(always) - there - elsewhere == set()


def test_packages_accounts_and_services_are_those_on_the_page(
    untouched: Snapshot, after: Snapshot
) -> None:
    wanted = set(defaults("base")["base_packages"])

    assert after.held - untouched.held
    assert after.packages - untouched.packages <= wanted | after.held
    assert untouched.packages <= after.packages
    assert after.accounts - untouched.accounts == {"student"}
    assert after.groups - untouched.groups == {"student"}
    assert after.enabled - untouched.enabled <= {
        "docker.service",
        "docker.socket",
        "containerd.service",
    }


def defaults(role: str) -> dict:
    return yaml.safe_load((ROOT / "roles" / role / "defaults" / "main.yml").read_text())
