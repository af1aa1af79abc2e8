"""Waits until the machines have booted, and asks them how they are."""

import socket
import time
from collections.abc import Callable

from labkit.errors import ControllerError
from labkit.sandbox.machines import Found

SECONDS_TO_BOOT = 90
_PAUSE = 0.2
_BOOTED = ("running", "degraded")


def system_state(machine: Found) -> str:
    """Return systemd's word for the machine ("running", "degraded", …), or "" if it is silent."""
    words = machine.ask("systemctl", "is-system-running").split()
    return words[0] if len(words) == 1 else ""


def host_keys(machine: Found) -> list[str]:
    """Return the machine's public host keys, "type key", as they lie on the machine itself."""
    answer = machine.ask("sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub")
    keys = (line.split() for line in answer.splitlines())
    return [" ".join(words[:2]) for words in keys if len(words) > 1]


def wait(
    look: Callable[[], list[Found]], tell: Callable[[str], None], within: float = SECONDS_TO_BOOT
) -> None:
    """
    Wait until systemd and sshd of every machine that `look` returns are up.

    Raises:
        ControllerError: A machine died or was not up in time; the message says how far it got.
    """
    started = time.monotonic()
    waiting = look()
    while waiting:
        waiting = [machine for machine in waiting if not _is_up(machine)]
        seconds = time.monotonic() - started
        dead = [machine for machine in look() if machine.state != "running"]
        if dead or (waiting and seconds > within):
            raise _not_up((dead or waiting)[0], seconds)
        time.sleep(_PAUSE if waiting else 0)
    tell(f"every machine is up after {time.monotonic() - started:.0f} s")


def _is_up(machine: Found) -> bool:
    return has_banner(machine.address) and system_state(machine) in _BOOTED


def has_banner(address: str, port: int = 22, seconds: float = 1) -> bool:
    """Return whether an SSH server introduces itself there."""
    try:
        with socket.create_connection((address, port), timeout=seconds) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _not_up(machine: Found, seconds: float) -> ControllerError:
    if machine.state != "running":
        seen = machine.container.logs(tail=5).decode(errors="replace").strip()
        state = f"is {machine.state}"
    else:
        seen = machine.ask("systemctl", "list-units", "--failed", "--plain", "--no-legend")
        state = f"is not up after {seconds:.0f} s (systemd: {system_state(machine) or 'silent'})"
    return ControllerError(
        f"The machine {machine.name} {state}. {seen}".rstrip(),
        hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
    )
