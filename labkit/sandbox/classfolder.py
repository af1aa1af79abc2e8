"""The ordinary class folder that a sandbox leaves for Ansible and labkit to read."""

import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from labkit.errors import BadInput, ControllerError
from labkit.sandbox.recipe import ACCOUNT

# The first line of each file that is ours to rewrite and to remove.
HEADER = "# Written by `labkit sandbox up`; the next `up` writes it again, `down` removes it."

KEY = "id_ed25519"
_OWN_FILES = (KEY, f"{KEY}.pub", "known_hosts", "known_hosts.old", "class.ini", ".gitignore")
# What labkit itself keeps beside an inventory: of a class that is gone, nobody needs it.
_OF_THE_CLASS = (
    "logins.csv",
    "engine.lock.json",
    "registry-ca.crt",
    "registry-ca.key",
    "images.lock.yml",
)


def check(directory: Path) -> None:
    """
    Refuse a directory that holds somebody else's class.

    Raises:
        BadInput: It has a class.ini that no sandbox wrote, or it is no directory.
    """
    if directory.exists() and not directory.is_dir():
        raise BadInput(f"{directory} is not a directory.", hint="Name another place.")
    if (directory / "class.ini").exists() and not _is_ours(directory / "class.ini"):
        raise BadInput(
            f"{directory} already holds a class that is not a sandbox's.",
            hint="Name an empty or a new directory.",
        )


# A machine's name, its seat, its address, and what else the inventory has to say of it.
Host = tuple[str, str, str, Mapping[str, object]]


def write_class(directory: Path, machines: Iterable[Host], depot: str = "") -> str:
    """
    Write the inventory and a key pair; return the public key.

    `depot` is the address of the class's depot, if it has one.

    Raises:
        ControllerError: ssh-keygen is missing or failed.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / ".gitignore", "*\n")
    _write(directory / "class.ini", inventory(machines, depot))
    return _ensure_key(directory / KEY)


def inventory(machines: Iterable[Host], depot: str = "") -> str:
    """Return the text of class.ini."""
    hosts = "".join(
        f"{name} ansible_host={address} seat={seat}{_variables(more)}\n"
        for name, seat, address, more in machines
    )
    # Two pairs of quotes: Ansible takes off the outer, ssh the inner, and a path may hold a space.
    known_hosts = "'UserKnownHostsFile=\"{{ inventory_dir }}/known_hosts\"'"
    one_more = f"[depot]\ndepot ansible_host={depot}\n\n" if depot else ""
    # The depot is no machine of the class, but is reached as they are.
    group = "all" if depot else "machines"
    return (
        f"[machines]\n{hosts}\n{one_more}[{group}:vars]\nansible_user={ACCOUNT}\n"
        f"ansible_ssh_private_key_file={{{{ inventory_dir }}}}/{KEY}\n"
        f"ansible_ssh_common_args=-o StrictHostKeyChecking=accept-new -o {known_hosts}\n"
        # Else plain Ansible could not become the attendee, for want of setfacl on a bare machine.
        "ansible_pipelining=true\n"
    )


def _variables(more: Mapping[str, object]) -> str:
    # Ansible splits such a line into words as a shell does, and reads each value as Python's.
    return "".join(f" {name}={shlex.quote(str(value))}" for name, value in more.items())


def write_inputs(
    directory: Path,
    inputs: Mapping[str, Mapping[str, Any]],
    tell: Callable[[str], None],
    group: str = "machines",
) -> None:
    """
    Write the roles' inputs that this box forces on a group of hosts, a file a role.

    A file that somebody else wrote stays as it is; we say what it ought to hold.
    """
    folder = directory / "group_vars" / group
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.yml"):
        if _is_ours(path) and path.stem not in inputs:
            path.unlink()
    for role, values in inputs.items():
        path = folder / f"{role}.yml"
        text = yaml.safe_dump(dict(values), sort_keys=True, default_flow_style=False)
        if path.exists() and not _is_ours(path):
            tell(f"{path} is yours and stays; on this box it needs: {dict(values)}")
        else:
            _write(path, f"# Put inputs of your own into another file beside it.\n---\n{text}")


def write_known_hosts(directory: Path, keys: Mapping[str, list[str]]) -> None:
    """Note the machines' real host keys by address; lines about other hosts stay."""
    path = directory / "known_hosts"
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.split(" ")[0] not in keys]
    new = [f"{address} {key}" for address, own in keys.items() for key in own]
    path.write_text("".join(f"{line}\n" for line in kept + new))


def is_a_sandboxs(directory: Path) -> bool:
    """Return whether a sandbox wrote the class in the directory."""
    return _is_ours(directory / "class.ini")


def remove(directory: Path) -> None:
    """Remove what belongs to the sandbox's class, and the directory if nothing else is in it."""
    if not _is_ours(directory / "class.ini"):
        return
    groups = [directory / "group_vars" / name for name in ("machines", "depot")]
    for path in (path for inputs in groups for path in inputs.glob("*.yml")):
        if _is_ours(path):
            path.unlink()
    shutil.rmtree(directory / ".labkit", ignore_errors=True)
    # class.ini, which says that the folder is ours, goes last but one.
    for name in (*_OF_THE_CLASS, *_OWN_FILES):
        (directory / name).unlink(missing_ok=True)
    for folder in (*groups, directory / "group_vars", directory):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _is_ours(path: Path) -> bool:
    return path.is_file() and path.read_text(errors="replace").startswith(HEADER)


def _write(path: Path, text: str) -> None:
    path.write_text(f"{HEADER}\n{text}")


def _ensure_key(path: Path) -> str:
    if not path.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "sandbox", "-f", str(path)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise ControllerError(
                "ssh-keygen is missing on this box.", hint="script/setup installs it."
            ) from error
        except subprocess.CalledProcessError as error:
            raise ControllerError(f"ssh-keygen made no key: {error.stderr.strip()}") from error
    return path.with_name(f"{path.name}.pub").read_text()
