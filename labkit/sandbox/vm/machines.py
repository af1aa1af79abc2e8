"""The virtual machines of a sandbox: made from the warm state, started again, ended."""

import os
import shutil
import time
import uuid
from pathlib import Path

from labkit.errors import ControllerError
from labkit.sandbox import boot
from labkit.sandbox.recipe import ACCOUNT
from labkit.sandbox.vm import process, warm
from labkit.sandbox.vm.hardware import DISK, command
from labkit.sandbox.vm.monitor import Agent, Monitor
from labkit.sandbox.vm.place import Machine, images
from labkit.sandbox.vm.wiring import LOOPBACK, SSH

_BIRTH = Path(__file__).parent / "birth"
_SECONDS_TO_RESTORE = 180
_SECONDS_TO_BE_BORN = 120
_SECONDS_TO_GREET = 90
_PAUSE = 0.1

_LET_IN = f"""set -e
install -d -m 0700 -o {ACCOUNT} -g {ACCOUNT} /home/{ACCOUNT}/.ssh
cat >/home/{ACCOUNT}/.ssh/authorized_keys
chown {ACCOUNT}: /home/{ACCOUNT}/.ssh/authorized_keys
chmod 0600 /home/{ACCOUNT}/.ssh/authorized_keys
"""
_HOST_KEYS = "cat /etc/ssh/ssh_host_*_key.pub"


def ensure_machine(machine: Machine, public_key: str) -> None:
    """
    See to it that the machine is there, runs, and accepts the sandbox's key.

    One that runs stays as it is, one that is off boots from its disk, and one that was never
    finished is made anew.

    Raises:
        ControllerError: It could not be made, or does not answer.
    """
    if not machine.born:
        _make(machine)
    else:
        _revive(machine)
    ask(machine, _LET_IN, text=public_key.encode())
    _await_ssh(machine)


def ask(machine: Machine, script: str, *words: str, text: bytes = b"") -> str:
    """
    Return what a script says that the machine's shell runs as root.

    Raises:
        ControllerError: It failed, or the machine does not answer.
    """
    try:
        with Agent(machine.folder, seconds=_SECONDS_TO_BE_BORN) as agent:
            code, said = agent.run("/bin/sh", "-c", script, "sandbox", *words, text=text)
    except OSError as error:
        raise ControllerError(f"The machine {machine.name} does not answer: {error}") from error
    if code != 0:
        raise ControllerError(f"The machine {machine.name} answered with an error: {said.strip()}")
    return said


def host_keys(machine: Machine) -> list[str]:
    """Return the machine's public host keys, "type key", as they lie on the machine itself."""
    keys = (line.split() for line in ask(machine, _HOST_KEYS).splitlines())
    return [" ".join(words[:2]) for words in keys if len(words) > 1]


def remove(machine: Machine) -> bool:
    """End the machine and take its folder away; say if it was there."""
    there = machine.folder.exists()
    process.end(machine.folder)
    shutil.rmtree(machine.folder, ignore_errors=True)
    return there


def _make(machine: Machine) -> None:
    remove(machine)
    state = images() / machine.sandbox.image / machine.sandbox.warm / warm.STATE
    warm.add_disk(machine.folder, state.with_name(DISK))
    _start(machine, state)
    _go_on(machine)
    _give_birth(machine)
    machine.mark_born()


def _start(machine: Machine, state: Path | None = None) -> None:
    image = images() / machine.sandbox.image
    made_of = machine.sandbox.made_of
    process.start(machine.folder, command(made_of, machine.folder, machine.cards, image, state))


def _go_on(machine: Machine) -> None:
    """Wait until the saved state is loaded, and let the machine go on from it."""
    deadline = time.monotonic() + _SECONDS_TO_RESTORE
    while True:
        try:
            with Monitor(machine.folder) as monitor:
                if monitor.ask("query-status")["status"] == process.PAUSED:
                    monitor.ask("cont")
                    return
        except OSError:
            # While it loads it has little time for us.
            if not process.pid(machine.folder):
                said = (machine.folder / "qemu.log").read_text(errors="replace")
                raise ControllerError(
                    f"QEMU could not restore {machine.name}: {said.strip()}"
                ) from None
        if time.monotonic() > deadline:
            raise ControllerError(
                f"The saved state of {machine.name} was not loaded in {_SECONDS_TO_RESTORE} s."
            )
        time.sleep(_PAUSE)


def _give_birth(machine: Machine) -> None:
    """Make the copy a machine of its own: clock, chance, name, keys, address."""
    lan = machine.cards
    identity = uuid.uuid4().hex
    words = (machine.name, identity, f"{machine.address}/24", lan.mac, f"{time.time():.3f}")
    ask(machine, _BIRTH.read_text(), *words, text=os.urandom(64))


def _revive(machine: Machine) -> None:
    state = process.state(machine.folder)
    awake = state in (process.PAUSED, process.FROZEN) and process.wake(machine.folder)
    if state != process.RUNNING and not awake:
        process.end(machine.folder)
        _start(machine)
    within = warm.SECONDS_TO_BOOT[machine.sandbox.made_of.accelerator]
    warm.await_boot(machine.folder, within)


def _await_ssh(machine: Machine) -> None:
    port = machine.forwards[SSH]
    deadline = time.monotonic() + _SECONDS_TO_GREET
    # QEMU accepts for the machine before anybody there listens: only a banner is an answer. An
    # emulated one on a busy box takes seconds for it, and longer if asked again meanwhile.
    while not boot.has_banner(LOOPBACK, port, seconds=_SECONDS_TO_GREET / 3):
        if time.monotonic() > deadline:
            raise ControllerError(
                f"No SSH server answers for {machine.name} at {LOOPBACK}:{port}.",
                hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
            )
        time.sleep(_PAUSE)
