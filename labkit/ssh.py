"""How labkit itself talks to a machine over SSH: as Ansible would, with the user's own settings."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONNECT_TIMEOUT = 10

# ssh takes the first value of an option. These stand last, so what the user or Ansible's
# configuration says wins; without them a machine that froze is waited for without end.
KEEP_ALIVE = ("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3")

NO_PASSWORD = (
    *("-o", "BatchMode=yes"),
    *("-o", "KbdInteractiveAuthentication=no"),
    *("-o", "PasswordAuthentication=no"),
)

# Asked again, the helper could only say the same again, and a third wrong password may lock
# the account.
ONE_PROMPT = ("-o", "NumberOfPasswordPrompts=1")

# A handed-out password is proven only if nothing else lets us in.
PASSWORD_ONLY = (
    *("-o", "PubkeyAuthentication=no"),
    *("-o", "PreferredAuthentications=password,keyboard-interactive"),
    *("-o", "ControlMaster=no"),
    *("-o", "ControlPath=none"),
)

# ssh asks its helper for more than passwords: whether to trust an unknown host, and how to
# unlock a key. Neither is answered by a login password.
ANSWERER = """#!/bin/sh
case "$1" in
  *"yes/no"* | *passphrase* | *PIN*) exit 1 ;;
esac
exec cat "$LABKIT_PASSWORD_FILE"
"""


@dataclass(frozen=True, slots=True)
class Connection:
    """
    What Ansible would use to reach a machine, already templated.

    `arguments` are ssh_args, ssh_common_args and ssh_extra_args, in this order, split
    into words. `user`, `port` and `key` are None where ssh's own configuration decides.
    """

    host: str
    port: int | None = None
    user: str | None = None
    key: str | None = None
    arguments: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    become_password: str | None = field(default=None, repr=False)
    ssh: str = "ssh"

    @classmethod
    def read(cls, described: Mapping[str, Any]) -> "Connection":
        """Return the connection that `dataclasses.asdict` described, also after JSON."""
        return cls(**{**described, "arguments": tuple(described["arguments"])})


def command(
    connection: Connection,
    remote: str,
    *,
    user: str | None = None,
    first: Sequence[str] = (),
) -> list[str]:
    """
    Return the arguments of an ssh that runs `remote`, a line for the login shell there.

    `user` logs in as someone else than Ansible does. `first` are options that beat all
    others. Port, key and user come before the user's arguments as in Ansible's plugin, so
    that `ansible_port` beats a Port in ansible_ssh_common_args. Passwords are
    never part of it: see `askpass`.
    """
    login = user or connection.user
    return [
        connection.ssh,
        *first,
        *(() if connection.port is None else ("-o", f"Port={connection.port}")),
        *(() if connection.key is None else ("-o", f'IdentityFile="{home(connection.key)}"')),
        *(NO_PASSWORD if connection.password is None and user is None else ONE_PROMPT),
        *(() if login is None else ("-o", f'User="{login}"')),
        *connection.arguments,
        *("-o", f"ConnectTimeout={CONNECT_TIMEOUT}"),
        *KEEP_ALIVE,
        connection.host,
        remote,
    ]


def home(key: str) -> str:
    """Return the path of a key, whose `~` is the home of this user."""
    return os.path.expanduser(key)  # noqa: PTH111 - Path raises where the user is unknown, ssh expands it then


@contextmanager
def askpass(password: str | None, directory: Path) -> Iterator[dict[str, str]]:
    """
    Yield the environment in which ssh logs in with the password, or os.environ for None.

    The password stands in a file that only this user can read, in `directory`, for as long
    as the context lasts: in no argument and in no environment. (An inherited descriptor
    would not reach the helper, ssh closes all it does not know.)
    """
    environment = dict(os.environ)
    if password is None:
        yield environment
        return
    with tempfile.TemporaryDirectory(prefix="askpass-", dir=directory) as place:
        secret, helper = Path(place, "secret"), Path(place, "helper")
        _write(secret, password + "\n", 0o600)
        _write(helper, ANSWERER, 0o700)
        yield environment | {
            "SSH_ASKPASS": str(helper),
            "SSH_ASKPASS_REQUIRE": "force",
            "LABKIT_PASSWORD_FILE": str(secret),
        }


def _write(path: Path, text: str, mode: int) -> None:
    # In UTF-8 whatever the controller's locale: so it is hashed, and so the machine expects it.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
