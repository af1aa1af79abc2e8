"""Where labkit's own files lie."""

from pathlib import Path


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
