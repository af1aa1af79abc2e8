"""`logins.csv`: who logs in where, and the one place that holds a password."""

import csv
import hashlib
import io
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bcrypt

from labkit.classroom import Machine
from labkit.errors import BadInput
from labkit.ssh import Connection

DEFAULT_PORT = 22
COLUMNS = ("seat", "machine", "address", "user", "password")
# No character that is taken for another one on paper.
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
GROUPS, GROUP_LENGTH = 3, 4
# 31 characters, 12 times: 59 bits, beyond guessing, so few rounds do (15 ms each).
ROUNDS = 8
BCRYPT_CHARACTERS = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def ensure_logins(file: Path, machines: Iterable[Machine]) -> dict[str, str]:
    """
    Bring the file up to date with the class, and return seat → password.

    A seat keeps the password it has. A seat whose inputs set a password hash or keys of
    their own is listed without one.

    Raises:
        BadInput: The file is there but is no `logins.csv`.
    """
    machines = list(machines)
    passwords = read_passwords(file)
    for machine in machines:
        if needs_password(machine.inputs):
            passwords.setdefault(machine.seat, new_password())
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for machine in machines:
        password = passwords[machine.seat] if needs_password(machine.inputs) else ""
        user = machine.inputs["attendee_name"]
        address = _address(machine.connection)
        table.writerow((machine.seat, machine.name, address, user, password))
    _write(file, text.getvalue())
    return passwords


def read_passwords(file: Path) -> dict[str, str]:
    """
    Return seat → password as the file has it; nothing where there is no file.

    Raises:
        BadInput: It cannot be read, or a column is missing.
    """
    todo = "put it back as labkit wrote it, or move it away to have new passwords made"
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            table = csv.DictReader(lines)
            if missing := set(COLUMNS) - set(table.fieldnames or ()):
                raise BadInput(f"{file} lacks the column {', '.join(sorted(missing))}", todo)
            return {row["seat"]: row["password"] for row in table if row["password"]}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}", todo) from None
    except (UnicodeDecodeError, csv.Error):
        raise BadInput(f"{file} is no table of logins", todo) from None


def needs_password(inputs: Mapping[str, Any]) -> bool:
    """Tell whether labkit has to make the attendee's password."""
    return not inputs.get("attendee_password_hash") and not inputs.get("attendee_keys")


def new_password() -> str:
    """Return a password that can be read from a card and typed, like `k7wm-p3xd-q9ra`."""
    groups = ("".join(secrets.choice(ALPHABET) for _ in range(GROUP_LENGTH)) for _ in range(GROUPS))
    return "-".join(groups)


def password_hash(password: str, seat: str) -> str:
    """
    Return the hash for `/etc/shadow`, the same for the same password and seat.

    The salt comes from the seat's name, so that a second run finds nothing to change; it
    need only be different for each password, not secret (crypt(5), "bcrypt").
    """
    digest = hashlib.sha256(f"labkit {seat}".encode()).digest()
    letters = "".join(BCRYPT_CHARACTERS[byte % 64] for byte in digest[:21])
    # 22 letters hold 132 bits, the salt has 128: the last one may use only two of its six.
    salt = f"$2b${ROUNDS:02}${letters}{'.Oeu'[digest[21] % 4]}"
    return bcrypt.hashpw(password.encode(), salt.encode()).decode()


def _address(connection: Connection) -> str:
    """Return where an attendee logs in, as `ssh ssh://USER@ADDRESS` takes it."""
    port = connection.port
    return connection.host if port in {None, DEFAULT_PORT} else f"{connection.host}:{port}"


def _write(file: Path, text: str) -> None:
    if file.exists() and file.read_text(encoding="utf-8") == text:
        file.chmod(0o600)
        return
    draft = file.with_name(f".{file.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        new.write(text)
    draft.replace(file)
