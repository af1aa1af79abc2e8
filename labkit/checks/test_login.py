"""The attendee's login, tried with what was handed out."""

import shlex
import subprocess

import pytest
from testinfra.host import Host

from labkit.checks.line import PATIENCE_TO_CONNECT
from labkit.checks.machine import Machine
from labkit.checks.promise import promise
from labkit.ssh import PASSWORD_ONLY, askpass, command


def test_the_attendee_logs_in_with_the_password_that_was_handed_out(machine: Machine) -> None:
    login = machine.login
    if login is None or login.password is None:
        pytest.skip("no password was handed out")

    argv = command(machine.connection, "id -nG", user=login.user, first=PASSWORD_ONLY)
    with askpass(login.password, machine.directory) as environment:
        seen = subprocess.run(
            argv,
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_TO_CONNECT,
            text=True,
            check=False,
        )

    promise(
        seen.returncode == 0,
        expected=f"{login.user} to log in over SSH with the password in logins.csv",
        seen=seen.stderr,
        todo=machine.repair("attendee"),
    )
    promise(
        "docker" in seen.stdout.split(),
        expected=f"{login.user} to come in as a member of group docker",
        seen=f"groups {seen.stdout}",
        todo=machine.repair("attendee"),
    )


def test_sshd_opens_to_the_attendee(host: Host, machine: Machine) -> None:
    keys = machine.inputs.get("attendee_keys") or []
    if machine.login is not None and machine.login.password is not None and not keys:
        pytest.skip("the attendee has a password and no keys: the login itself proves it")

    way = "pubkeyauthentication" if keys else "passwordauthentication"
    connection = f"user={machine.attendee},host=attendee,addr=192.0.2.1"
    seen = host.run("mkdir -p /run/sshd && /usr/sbin/sshd -T -C %s", connection)

    promise(
        f"{way} yes" in seen.stdout.splitlines(),
        expected=f"sshd's settings for {machine.attendee} to have: {way} yes",
        seen=seen.stderr or _line(seen.stdout, way),
        todo=machine.repair("attendee"),
    )


def test_the_attendees_account_is_open(host: Host, machine: Machine) -> None:
    name = shlex.quote(machine.attendee)
    seen = host.run(f"getent passwd {name} && getent shadow {name}")

    promise(
        seen.succeeded and len(seen.stdout.splitlines()) == 2,
        expected=f"an account {machine.attendee}",
        seen=seen.stderr or "no such account",
        todo=machine.repair("attendee"),
    )
    account, shadow = (line.split(":") for line in seen.stdout.splitlines())
    expired = shadow[7] not in {"", "-1"}
    promise(
        not expired and account[6].endswith("sh"),
        expected=f"an account {machine.attendee} that never expires, with a login shell",
        seen=f"shell {account[6]}" + (", an account with an end" if expired else ""),
        todo=machine.repair("attendee"),
    )


def test_the_attendee_has_sudo_only_where_the_class_says_so(host: Host, machine: Machine) -> None:
    wanted = bool(machine.inputs.get("attendee_sudo"))
    there = host.run("test -e /etc/sudoers.d/labkit-attendee").succeeded

    promise(
        there == wanted,
        expected=f"{'a' if wanted else 'no'} file /etc/sudoers.d/labkit-attendee",
        seen="one" if there else "none",
        todo=machine.repair("attendee"),
    )


def test_the_attendees_keys_are_authorized(host: Host, machine: Machine) -> None:
    """The attendee's keys are authorized; that they open is his to try, who has the other half."""
    keys = [key.strip() for key in machine.inputs.get("attendee_keys") or []]
    if not keys:
        pytest.skip("the attendee has no keys of his own")

    name = shlex.quote(machine.attendee)
    seen = host.run(f"cat ~{name}/.ssh/authorized_keys; stat -c %a ~{name} ~{name}/.ssh")
    missing = [key for key in keys if key not in seen.stdout.splitlines()]
    promise(
        not missing,
        expected=f"{len(keys)} keys in ~{machine.attendee}/.ssh/authorized_keys",
        seen=seen.stderr or f"missing: {', '.join(key[-40:] for key in missing)}",
        todo=machine.repair("attendee"),
    )
    modes = seen.stdout.splitlines()[-2:]
    promise(
        not any(int(mode, 8) & 0o022 for mode in modes),
        expected=f"~{machine.attendee} and its .ssh to be writable by {machine.attendee} alone",
        seen=f"modes {', '.join(modes)}, with which sshd ignores the keys",
        todo=f"as the attendee: chmod go-w ~ ~/.ssh; then {machine.repair('attendee')}",
    )


def _line(settings: str, name: str) -> str:
    return next((line for line in settings.splitlines() if line.startswith(name)), "")
