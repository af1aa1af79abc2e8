"""What is refused before any machine is met: values, names, keys and files that cannot be right."""

import ipaddress
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit.errors import BadInput
from labkit.ssh import Connection, command, home

# What is wrong, and what to do about it.
Wrong = tuple[str, str]

LAST_PORT = 65535
# HOST_NAME_MAX of Linux.
LONGEST_NAME = 64
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_NAME = re.compile(rf"{LABEL}(?:\.{LABEL})*")
# What useradd of every supported system takes, and sudo, systemd and sshd understand.
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
# The grammar of github.com/distribution/reference.
PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REFERENCE = re.compile(
    rf"(?:(?:{LABEL}(?:\.{LABEL})*|\[[0-9a-fA-F:]+\])(?::\d+)?/)?{PART}(?:/{PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
# What decides which machine ssh ends up on.
WAY = ("hostname", "port", "proxyjump", "proxycommand")


def wrong_values(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    """Yield what is wrong with one machine's inputs, whose types are right; None is unknown."""
    account = inputs.get("attendee_name")
    if account is not None and (account == "root" or not ACCOUNT.fullmatch(account)):
        todo = "use small letters, digits, - and _, beginning with a letter, and not root"
        yield f"attendee_name: {account!r} cannot be the attendee's account", todo
    for name in ("base_hostname", "preflight_host_name"):
        if inputs.get(name) is not None and not is_host_name(inputs[name]):
            todo = "name it with letters, digits and hyphens (NAME ansible_host=ADDRESS)"
            yield f"{inputs[name]!r} cannot be a host name", f"{todo}, or set base_hostname"
    for image in inputs.get("images_pull") or ():
        for reference in (image["reference"], *image.get("tags", ())):
            if not REFERENCE.fullmatch(reference):
                todo = "write it as docker pull takes it, like ubuntu:24.04"
                yield f"images_pull: {reference!r} is no image reference", todo
    yield from _wrong_builds(inputs)


def _wrong_builds(inputs: Mapping[str, Any]) -> Iterator[Wrong]:
    apps = inputs.get("sample_apps_names") or []
    for build in inputs.get("images_build") or ():
        if build["context"] not in apps:
            todo = f"sample_apps_names has {', '.join(apps) or 'none'}"
            yield f"images_build: {build['context']!r} is none of the sample apps", todo
        for file in build.get("files", ()):
            if Path(file).is_absolute() or ".." in Path(file).parts or not file.strip():
                todo = "name a Dockerfile inside the app's folder"
                yield f"images_build: {file!r} is no file of the app {build['context']}", todo


def is_host_name(name: str) -> bool:
    """Return whether the name fits RFC 1123 and cannot be taken for an address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return len(name) <= LONGEST_NAME and HOST_NAME.fullmatch(name) is not None
    return False


def wrong_connection(connection: Connection) -> Iterator[Wrong]:
    """Yield what is wrong with the way to one machine, as far as it shows from here."""
    if not re.fullmatch(r"[^\s/-][^\s/]*", connection.host):
        todo = "set ansible_host to a name or an address"
        yield f"ansible_host: {connection.host!r} cannot be an address", todo
    if connection.port is not None and not 0 < connection.port <= LAST_PORT:
        todo = f"a port is a number from 1 to {LAST_PORT}; without ansible_port it is 22"
        yield f"ansible_port: there is no port {connection.port}", todo
    if connection.key is not None and "%" not in connection.key:
        yield from _wrong_key(Path(home(connection.key)))


def _wrong_key(key: Path) -> Iterator[Wrong]:
    try:
        private = b"PRIVATE KEY" in key.read_bytes()[:64]
    except FileNotFoundError:
        # An agent may hold the key whose public half alone lies here.
        if not key.with_name(f"{key.name}.pub").exists():
            todo = "correct ansible_ssh_private_key_file or --private-key"
            beside = "; a key beside the inventory is {{ inventory_dir }}/NAME"
            yield f"there is no key {key}", todo + ("" if key.is_absolute() else beside)
    except OSError as error:
        yield f"the key {key} cannot be read: {error.strerror}", "let its file be yours"
    else:
        state = key.stat()
        # ssh's own rule: sshkey_perm_ok() in OpenSSH's authfile.c.
        if private and state.st_uid == os.getuid() and stat.S_IMODE(state.st_mode) & 0o077:
            yield f"the key {key} is open to others, so ssh refuses it", f"chmod 600 {key}"


def refuse_twins(connections: Mapping[str, Connection], environment: Mapping[str, str]) -> None:
    """
    Refuse a machine that is listed twice: same address, port and jump host, as ssh sees them.

    Raises:
        BadInput: Two names mean one machine.
    """
    same: dict[str, list[str]] = {}
    for name, connection in connections.items():
        same.setdefault(connection.host.lower(), []).append(name)
    ways: dict[tuple[str, ...], str] = {}
    for name in (one for names in same.values() if len(names) > 1 for one in names):
        way = _way(connections[name], environment)
        if way in ways:
            raise BadInput(
                f"{ways[way]} and {name} are one machine: both lead to {way[0]} port {way[1]}",
                "correct ansible_host or ansible_port of one, or take it out of the inventory",
            )
        ways[way] = name


def _way(connection: Connection, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Ask ssh itself, which also knows ~/.ssh/config, where a connection would lead."""
    asked = subprocess.run(
        command(connection, "true", first=("-G",)),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = dict(line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    # What ssh itself does not understand it will tell of each machine.
    return tuple(said.get(key, "") for key in WAY) if said else (connection.host, repr(connection))


def refuse_unfit_file(inventory: Path) -> None:
    """
    Refuse an inventory that Ansible would wait for without end, or could not make sense of.

    Raises:
        BadInput: It is missing, no file, unreadable or binary, or holds or neighbours a pipe.
    """
    try:
        if not inventory.exists():
            raise BadInput(
                f"there is no inventory {inventory}",
                "name the class's inventory with -i, or make one to try with: labkit sandbox up",
            )
        for file in _files(inventory):
            if not (file.is_file() or file.is_dir()):
                raise BadInput(f"{file} is a pipe or a device", "give a file or a folder with -i")
        if inventory.is_file():
            _refuse_binary(inventory)
    except OSError as error:
        raise BadInput(
            f"{error.filename or inventory} cannot be read: {error.strerror}",
            "let it be yours, or run labkit as whom it belongs to",
        ) from None


def _refuse_binary(inventory: Path) -> None:
    with inventory.open("rb") as file:
        head = file.read(4096)
    # A program may print an inventory, and be binary itself.
    if b"\0" in head and not inventory.stat().st_mode & stat.S_IXUSR:
        raise BadInput(
            f"{inventory} is a binary file, no inventory",
            "list the class's machines in a text file: INI or YAML, as Ansible reads them",
        )


def _files(inventory: Path) -> Iterable[Path]:
    """Yield all that Ansible may open when it reads the class."""
    yield inventory
    directory = inventory if inventory.is_dir() else inventory.parent
    folders = (directory / name for name in ("group_vars", "host_vars"))
    for folder in (inventory, *folders):
        # A dangling link is for Ansible to tell.
        yield from (one for one in folder.rglob("*") if one.exists())


def refuse_unknown_tags(tags: str | None, roles: Iterable[str]) -> None:
    """
    Refuse a tag that is no role's: with it a run would do nothing and look well.

    Raises:
        BadInput: There is no such role.
    """
    known = sorted(roles)
    for tag in (tags or "").split(",") if tags is not None else ():
        if tag.strip() not in {*known, "all", "always", "tagged"}:
            raise BadInput(
                f"--tags: there is no role {tag.strip()!r}", f"the roles are {', '.join(known)}"
            )


def refuse_unwritable(file: Path, option: str) -> None:
    """
    Refuse a file for results that could not be written when they are there.

    Raises:
        BadInput: It is a folder, or lies where this user may not write.
    """
    place = file if file.exists() else file.parent
    if file.is_dir() or not place.exists() or not os.access(place, os.W_OK):
        raise BadInput(f"{option}: {file} cannot be written", "name a file in a folder of yours")
