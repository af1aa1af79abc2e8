"""The saved state of a machine that has just booted: every machine goes on from there."""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from labkit.errors import ControllerError
from labkit.sandbox import turn
from labkit.sandbox.vm import accelerator, place, process
from labkit.sandbox.vm.hardware import (
    DISK,
    EMULATION,
    KVM,
    Cards,
    Hardware,
    command,
    hardware,
)
from labkit.sandbox.vm.initrd import KERNEL_IS_UP
from labkit.sandbox.vm.monitor import Agent, Monitor
from labkit.sandbox.vm.wiring import Lan

Tell = Callable[[str], None]

STATE = "state"
_KIND, _DRAFT = "warm-", ".new-"
_TURN = "vm-warm"

# A kernel that runs in hardware says so within two or three seconds; some hang before that.
SECONDS_FOR_A_KERNEL = 20
# Three emulated machines at once on two cores took 60 s.
SECONDS_TO_BOOT = {KVM: 60, EMULATION: 300}
_SECONDS_TO_SAVE = 120
_PAUSE = 0.2
_PREPARE = "sync; echo 3 >/proc/sys/vm/drop_caches"


class Hangs(ControllerError):
    """A kernel was started, and nothing was heard of it."""


def ensure_warm(image: Path, tell: Tell) -> tuple[Path, Hardware]:
    """
    Return the folder with the saved state of a machine of that image, and what it runs on.

    Where nobody knows yet whether the box's hardware runs machines, that is tried, for some
    seconds; the answer is remembered.

    Raises:
        ControllerError: The machine did not boot, or its state could not be saved.
    """
    with turn.taken(_TURN, partial(tell, "waiting for another labkit's virtual machine")):
        known = accelerator.remembered()
        if known is None:
            tell("trying whether this box runs virtual machines in hardware (KVM)")
            try:
                made = _ensure(image, hardware(KVM), tell, SECONDS_FOR_A_KERNEL)
            except ControllerError as error:
                known = accelerator.remember(EMULATION, error.message)
                tell(f"it does not: {error.message}")
            else:
                accelerator.remember(KVM, "a machine booted")
                return made, hardware(KVM)
        if known.accelerator == EMULATION:
            tell(f"machines are emulated in software: {known.reason}{accelerator.again()}")
        return _ensure(image, hardware(known.accelerator), tell), hardware(known.accelerator)


def _ensure(image: Path, made_of: Hardware, tell: Tell, kernel_within: float | None = None) -> Path:
    cards = Cards({}, Lan("239.255.255.1", 47_000), "52:54:00:ff:ff:ff")
    # Wherever the image lies: what is saved depends on what is in it, and on the box.
    known = json.dumps(
        [command(made_of, Path("folder"), cards, Path("image")), accelerator.box_key()]
    )
    folder = image / f"{_KIND}{hashlib.sha256(known.encode()).hexdigest()[:12]}"
    if not (folder / STATE).exists():
        tell("booting a first machine, whose state all others begin with")
        draft = folder.with_name(f"{_DRAFT}{folder.name}")
        _remove(draft)
        try:
            add_disk(draft, image / DISK)
            process.start(draft, command(made_of, draft, cards, image))
            began = time.monotonic()
            _await_kernel(draft, kernel_within)
            await_boot(draft, SECONDS_TO_BOOT[made_of.accelerator])
            tell(f"it booted in {time.monotonic() - began:.0f} s; saving its state")
            save(draft)
            process.end(draft)
            for left in draft.iterdir():
                if left.name not in (DISK, STATE):
                    left.unlink()
            draft.rename(folder)
            place.forget_older(folder, f"{_KIND}*")
        finally:
            _remove(draft)
    return folder


def sweep() -> None:
    """Take away a first machine that a killed labkit left, unless one is at work on it just now."""
    with turn.tried(_TURN) as ours:
        for draft in place.images().glob(f"*/{_DRAFT}*") if ours else ():
            _remove(draft)


def _remove(draft: Path) -> None:
    process.end(draft)
    shutil.rmtree(draft, ignore_errors=True)


def add_disk(folder: Path, base: Path) -> None:
    """
    Give a machine a disk that begins as a copy of another, and takes only what differs.

    Raises:
        ControllerError: It could not be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base_from_here = os.path.relpath(base, folder)
    made = subprocess.run(
        # As seen from the new one: the cache may be moved as a whole.
        [*("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2"), "-b", base_from_here, DISK],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    if made.returncode != 0:
        raise ControllerError(f"qemu-img made no disk for {folder.name}: {made.stderr.strip()}")


def await_boot(folder: Path, within: float) -> None:
    """
    Wait until systemd on the machine has started all there is to start.

    Raises:
        ControllerError: It ended, or was not there in time; the message has its last words.
    """
    began = time.monotonic()
    while system_state(folder) not in ("running", "degraded"):
        seconds = time.monotonic() - began
        if not process.pid(folder) or seconds > within:
            ended = "ended" if not process.pid(folder) else f"is not up after {seconds:.0f} s"
            raise ControllerError(
                f"The machine {folder.name} {ended}. {process.last_words(folder)}".strip(),
                hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
            )
        time.sleep(_PAUSE)


def system_state(folder: Path) -> str:
    """Return systemd's word for the machine ("running", "degraded", …), or "" if it is silent."""
    try:
        with Agent(folder, seconds=3) as agent:
            words = agent.run("/usr/bin/systemctl", "is-system-running")[1].split()
    except (OSError, ControllerError):
        return ""
    return words[0] if len(words) == 1 else ""


def save(folder: Path) -> None:
    """
    Save the state of a machine that runs, which stands still from then on.

    Raises:
        ControllerError: It was refused, or took too long.
    """
    try:
        _save(folder)
    except OSError as error:
        raise ControllerError(f"a machine's state could not be saved: {error}") from error


def _save(folder: Path) -> None:
    with Agent(folder, seconds=_SECONDS_TO_SAVE) as agent:
        agent.run("/bin/sh", "-c", _PREPARE)
    with Monitor(folder, seconds=_SECONDS_TO_SAVE) as monitor:
        monitor.ask("stop")
        # As fast as it goes: by itself it spares a network that is not there.
        monitor.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        monitor.ask("migrate", uri=f"exec:cat >{shlex.quote(str(folder / STATE))}")
        while (told := monitor.ask("query-migrate")).get("status") != "completed":
            if told.get("status") in ("failed", "cancelled"):
                raise ControllerError(
                    f"QEMU could not save a machine's state: {told.get('error-desc', told)}"
                )
            time.sleep(_PAUSE)


def _await_kernel(folder: Path, within: float | None) -> None:
    began = time.monotonic()
    while within and KERNEL_IS_UP not in process.last_words(folder):
        if not process.pid(folder) or time.monotonic() - began > within:
            raise Hangs(f"no word from a kernel within {within:.0f} s")
        time.sleep(_PAUSE)
