"""What a virtual machine is made of: the command line of QEMU."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.sandbox.vm.monitor import AGENT, MONITOR
from labkit.sandbox.vm.wiring import LOOPBACK, Lan

PROGRAM = "qemu-system-x86_64"

KVM, EMULATION = "kvm", "tcg"

# Names of files in a machine's folder, and in that of the image.
DISK, PID, CONSOLE = "disk.qcow2", "pid", "console.log"
KERNEL, INITRD = "kernel", "initrd"

_KERNEL_LINE = (
    "root=/dev/vda rootflags=noatime,noinit_itable console=ttyS0 quiet net.ifnames=0 "
    # Nobody attacks a machine of the sandbox, and emulated they cost much.
    "mitigations=off"
)
# A box that is a virtual machine itself may show that feature, and refuse its register.
_OWN = "host,arch-capabilities=off"
# The oldest with AVX, which MongoDB from 5 on wants; what a later one can do besides costs an
# emulated machine a fifth more time. What QEMU cannot emulate is left out.
_EMULATED = "SandyBridge,-tsc-deadline,-x2apic"


@dataclass(frozen=True)
class Hardware:
    """What all machines of a box have in common; a saved state fits no other hardware."""

    accelerator: str
    memory_mb: int
    processors: int

    @property
    def emulated(self) -> bool:
        """Whether software plays the processor."""
        return self.accelerator == EMULATION


@dataclass(frozen=True)
class Cards:
    """A machine's two network cards: the ports forwarded to it, and its place on the LAN."""

    forwards: Mapping[int, int]
    lan: Lan
    mac: str


def hardware(accelerator: str) -> Hardware:
    """Return what machines on this box are made of."""
    if accelerator == EMULATION:
        # With two processors each, several machines get into each other's way on a small box.
        return Hardware(accelerator, memory_mb=1024, processors=1)
    return Hardware(accelerator, memory_mb=2048, processors=min(2, os.cpu_count() or 1))


def command(
    made_of: Hardware, folder: Path, cards: Cards, image: Path, state: Path | None = None
) -> list[str]:
    """
    Return the command that starts a machine, to be run in its folder; it returns at once.

    With a saved state the machine goes on from there, and waits to be told so.
    """
    # What QEMU opens again to save its state, when it has left the folder for good.
    disk = str(folder / DISK).replace(",", ",,")
    incoming = ("-incoming", f"exec:cat {shlex.quote(str(state))}") if state else ()
    return [
        PROGRAM,
        *("-name", folder.name),
        *_board(made_of),
        *("-kernel", str(image / KERNEL), "-initrd", str(image / INITRD)),
        *("-append", _KERNEL_LINE),
        *_channels(),
        *("-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe,discard=unmap"),
        *_network(cards),
        *incoming,
        # By this argument its process is known again.
        *("-pidfile", str(folder / PID), "-daemonize"),
    ]


def _board(made_of: Hardware) -> list[str]:
    accelerator = "tcg,thread=multi,tb-size=128" if made_of.emulated else made_of.accelerator
    return [
        *("-nodefaults", "-no-user-config", "-display", "none"),
        *("-machine", "q35,vmport=off,graphics=off"),
        *("-accel", accelerator),
        *("-cpu", _EMULATED if made_of.emulated else _OWN),
        *("-smp", str(made_of.processors), "-m", str(made_of.memory_mb)),
        *("-rtc", "base=utc,clock=host"),
        *("-object", "rng-random,filename=/dev/urandom,id=random"),
        *("-device", "virtio-rng-pci,rng=random"),
    ]


def _channels() -> list[str]:
    return [
        *("-serial", f"file:{CONSOLE}"),
        *("-qmp", f"unix:{MONITOR},server=on,wait=off"),
        *("-chardev", f"socket,path={AGENT},server=on,wait=off,id=agent"),
        *("-device", "virtio-serial-pci"),
        *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
    ]


def _network(cards: Cards) -> list[str]:
    forwarded = ",".join(
        f"hostfwd=tcp:{LOOPBACK}:{there}-:{port}" for port, there in cards.forwards.items()
    )
    return [
        *("-netdev", f"user,id=nat,ipv6=off,{forwarded}".rstrip(",")),
        *("-device", "virtio-net-pci,netdev=nat,mac=52:54:00:00:00:0f,addr=0x10,romfile="),
        "-netdev",
        f"socket,id=lan,mcast={cards.lan.group}:{cards.lan.port},localaddr={LOOPBACK}",
        *("-device", f"virtio-net-pci,netdev=lan,mac={cards.mac},addr=0x11,romfile="),
    ]
