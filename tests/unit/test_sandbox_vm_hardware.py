"""The command line of QEMU: what is in it, and what must not be."""

import shlex
from pathlib import Path

from labkit.sandbox.vm import hardware
from labkit.sandbox.vm.hardware import EMULATION, KVM, Cards
from labkit.sandbox.vm.wiring import Lan

CARDS = Cards({22: 14_011, 80: 14_261}, Lan("239.10.80.63", 47_207), "52:54:00:0a:50:0b")
FOLDER = Path("/home/jo/my cache/vms/0a503fcf/seat01-vm1, mine")
IMAGE = Path("/home/jo/my cache/images/x")


def command(accelerator: str = EMULATION, **more: Path) -> list[str]:
    made_of = hardware.hardware(accelerator)
    return hardware.command(made_of, FOLDER, CARDS, IMAGE, **more)


def after(words: list[str], option: str) -> list[str]:
    return [words[place + 1] for place, word in enumerate(words) if word == option]


def test_the_ports_are_forwarded_from_the_loopback_and_from_nowhere_else() -> None:
    (nat, lan) = after(command(), "-netdev")

    assert "hostfwd=tcp:127.0.0.1:14011-:22" in nat
    assert "hostfwd=tcp:127.0.0.1:14261-:80" in nat
    assert nat.count("hostfwd=") == nat.count("hostfwd=tcp:127.0.0.1:") == 2
    assert lan == "socket,id=lan,mcast=239.10.80.63:47207,localaddr=127.0.0.1"


def test_a_card_without_forwarded_ports_is_understood_too() -> None:
    bare = Cards({}, CARDS.lan, CARDS.mac)
    words = hardware.command(hardware.hardware(EMULATION), FOLDER, bare, IMAGE)

    assert after(words, "-netdev")[0] == "user,id=nat,ipv6=off"


def test_a_place_with_a_space_survives_the_shell_that_reads_the_saved_state() -> None:
    state = IMAGE / "warm-1" / "state"
    (incoming,) = after(command(state=state), "-incoming")

    assert shlex.split(incoming.removeprefix("exec:")) == ["cat", str(state)]
    assert "-incoming" not in command()


def test_what_was_saved_and_what_it_is_restored_into_differ_in_nothing_that_it_remembers() -> None:
    warm, restored = command(), command(state=IMAGE / "state")

    place = restored.index("-incoming")
    assert restored[:place] + restored[place + 2 :] == warm


def test_the_processor_is_the_boxs_own_only_where_hardware_runs_it() -> None:
    assert after(command(KVM), "-cpu") == ["host,arch-capabilities=off"]
    assert after(command(KVM), "-accel") == ["kvm"]
    (emulated,) = after(command(), "-cpu")
    # MongoDB from 5 on wants AVX, which this model has.
    assert emulated.startswith("SandyBridge")
    assert after(command(), "-smp") == ["1"]


def test_a_socket_is_named_without_its_path_which_may_be_too_long_for_one() -> None:
    words = " ".join(command())

    for name in (hardware.CONSOLE, "monitor.sock", "agent.sock"):
        assert f"/{name}" not in words
        assert name in words


def test_a_place_with_a_comma_in_it_is_one_place() -> None:
    (drive,) = after(command(), "-drive")

    assert drive.startswith(f"file={str(FOLDER).replace(',', ',,')}/disk.qcow2,if=virtio")
