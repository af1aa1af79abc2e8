"""What this controller must have before labkit can do anything: ansible-core, and ssh."""

import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from labkit.errors import ControllerError

# As in pyproject.toml: who installed labkit with pip has it.
OLDEST_ANSIBLE = (2, 19)


def ansible_version() -> str | None:
    """Return the version of the ansible-core beside labkit, None where there is none."""
    try:
        return version("ansible-core")
    except PackageNotFoundError:
        return None


def require_ansible() -> None:
    """
    Refuse to go on without an ansible-core that labkit knows.

    Raises:
        ControllerError: It is missing or too old.
    """
    found = ansible_version()
    oldest = ".".join(map(str, OLDEST_ANSIBLE))
    todo = f"install it beside labkit: pip install 'ansible-core>={oldest}'"
    if found is None:
        raise ControllerError("there is no ansible-core", todo)
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST_ANSIBLE:
        raise ControllerError(f"ansible-core {found} is too old, labkit needs {oldest}", todo)


def require_ssh(programs: Iterable[str], path: str) -> None:
    """
    Refuse to go on without the ssh client that the machines are to be reached with.

    Raises:
        ControllerError: It is not on `path`.
    """
    for program in sorted(set(programs)):
        if not shutil.which(program, path=path):
            raise ControllerError(
                f"there is no ssh client {program!r} on this controller",
                "install it: apt-get install openssh-client",
            )
