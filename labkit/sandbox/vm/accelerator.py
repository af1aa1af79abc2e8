"""Whether this box runs virtual machines in hardware, found out once by trying, and remembered."""

import hashlib
import json
import os
import re
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.sandbox.vm import place
from labkit.sandbox.vm.hardware import EMULATION, PROGRAM

_DEVICE = Path("/dev/kvm")
_PROCESSOR = Path("/proc/cpuinfo")
_REMEMBERED = "accelerator.json"


@dataclass(frozen=True)
class Verdict:
    """What a box was found to be able to do; `box` tells when to try again."""

    box: str
    accelerator: str
    reason: str


def box_key() -> str:
    """Return a word that changes with the box's kernel, its processor, and QEMU."""
    version = subprocess.run(
        [PROGRAM, "--version"], check=False, capture_output=True, text=True
    ).stdout
    told = re.findall(r"^(?:model name|flags)\s*:.*$", _PROCESSOR.read_text(), re.MULTILINE)
    known = json.dumps([version, os.uname().release, told[:2]])
    return hashlib.sha256(known.encode()).hexdigest()[:12]


def remembered() -> Verdict | None:
    """Return what was found on this box as it is now, None if that has to be tried."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        reason = f"this user cannot use {_DEVICE}" if _DEVICE.exists() else f"no {_DEVICE}"
        return Verdict(box_key(), EMULATION, reason)
    try:
        verdict = Verdict(**json.loads((place.images() / _REMEMBERED).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return verdict if verdict.box == box_key() else None


def again() -> str:
    """Return how to have it tried again, "" where nothing was written down."""
    written = place.images() / _REMEMBERED
    return f"; to have it tried again, remove {written}" if written.exists() else ""


def remember(accelerator: str, reason: str) -> Verdict:
    """Write down what was found out."""
    verdict = Verdict(box_key(), accelerator, reason)
    place.images().mkdir(parents=True, exist_ok=True)
    (place.images() / _REMEMBERED).write_text(json.dumps(asdict(verdict), indent=1))
    return verdict
