"""What the tests of the house look at: the files that are, or are about to be, committed."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]


def files() -> list[Path]:
    """Return every file of the repository, also a new one that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def name(path: Path) -> str:
    """Return the path as the ids of the tests have it."""
    return str(path.relative_to(ROOT))


def load(path: Path) -> Any:
    """Return what a YAML file holds; Ansible's own tags are read as plain values."""
    return yaml.load(text(path), Loader=Plain)  # noqa: S506 - a safe loader, below


class Plain(yaml.SafeLoader):
    """Knows `!vault` and `!unsafe` well enough to go past them."""


Plain.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))

FILES = files()
ROLES = sorted(
    {
        path.parents[len(path.relative_to(ROOT).parts) - 3]
        for path in FILES
        if path.is_relative_to(ROOT / "roles") and len(path.relative_to(ROOT).parts) > 2
    }
)
PLAYBOOKS = [path for path in FILES if path.parent == ROOT / "playbooks" and path.suffix == ".yml"]
TASK_FILES = [
    path for path in FILES if re.fullmatch(r"roles/\w+/(tasks|handlers)/.+\.yml", name(path))
]


def tasks(listed: list[dict[str, Any]] | None) -> Iterator[dict[str, Any]]:
    """Yield every task of a list, the blocks themselves and what is in them."""
    for task in listed or ():
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part))
