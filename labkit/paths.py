"""Where labkit's own files lie."""

from collections.abc import Iterator
from pathlib import Path

# What an editor, git or npm leaves in an app's folder is staged on no machine
# (roles/sample_apps/action_plugins, which has to know it without labkit).
LEFT_OUT = frozenset({".git", ".DS_Store", "__pycache__", "node_modules"})


def content() -> Path:
    """
    Return the folder that holds `playbooks/`, `roles/` and the sample apps.

    In an installed wheel they lie inside the package, in a checkout beside it.
    """
    package = Path(__file__).parent
    packed = package / "content"
    return packed if packed.is_dir() else package.parent


def role_names() -> list[str]:
    """Return the roles' names, which are also their tags."""
    return sorted(role.name for role in (content() / "roles").iterdir() if role.is_dir())


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder of labkit's own in a fixed order, without what is left out."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not LEFT_OUT & set(file.relative_to(folder).parts):
            yield file
