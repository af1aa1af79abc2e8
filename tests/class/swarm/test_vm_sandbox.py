"""What `labkit sandbox up --backend qemu` promises: machines with kernels of their own."""

import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import labkit

from labkit.sandbox import plan
from labkit.sandbox.vm import place

from .conftest import Virtual, qemu_arguments

pytestmark = pytest.mark.machines

FIRST, SECOND = "seat01-vm1", "seat01-vm2"
# Whoever runs machines needs no rights; nobody has none.
NOBODY = 65534
BOOTS_COLD = "booting a first machine"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Virtual]:
    """A sandbox of two machines that nobody provisions."""
    room = Virtual(tmp_path_factory.mktemp("pair"))
    try:
        room.up(machines=2)
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


def test_each_machine_has_a_kernel_of_its_own(pair: Virtual) -> None:
    kernel = pair.as_root(FIRST, "uname -r").strip()

    assert kernel != platform.release()
    # What no container has on a box whose kernel lacks it: the routing mesh's own part.
    pair.as_root(FIRST, "modprobe ip_vs && test -e /proc/net/ip_vs && modprobe vxlan")
    assert "docker" not in pair.as_root(FIRST, "ls /usr/bin /usr/sbin")
    # What the real database wants of a processor.
    pair.as_root(FIRST, "grep -qw avx /proc/cpuinfo")


def test_no_two_machines_have_a_name_a_key_or_an_id_in_common(pair: Virtual) -> None:
    told = {name: pair.as_root(name, "hostname; cat /etc/machine-id") for name in (FIRST, SECOND)}
    keys = {
        name: pair.as_root(name, "cat /etc/ssh/ssh_host_*_key.pub").split()
        for name in (FIRST, SECOND)
    }
    random = {
        name: pair.as_root(name, "cat /proc/sys/kernel/random/uuid") for name in (FIRST, SECOND)
    }

    for name in (FIRST, SECOND):
        hostname, identity = told[name].split()
        assert hostname == name
        assert len(identity) == 32
    assert told[FIRST].split()[1] != told[SECOND].split()[1]
    assert not set(keys[FIRST][1::3]) & set(keys[SECOND][1::3])
    assert random[FIRST] != random[SECOND]


def test_a_machine_knows_what_time_it_is(pair: Virtual) -> None:
    before = time.time()
    there = float(pair.as_root(SECOND, "date +%s.%N"))

    assert before - 2 < there < time.time() + 2


def assert_that_they_meet(pair: Virtual) -> None:
    """The first reaches the second by their own LAN."""
    there = pair.seat_address(SECOND)
    greet = f'exec 3<>/dev/tcp/{there}/22; read -r line <&3; echo "$line"'
    assert pair.as_root(FIRST, f"bash -c '{greet}'").startswith("SSH-2.0")


def test_the_machines_of_a_sandbox_have_a_lan_of_their_own(pair: Virtual) -> None:
    assert_that_they_meet(pair)
    there = pair.seat_address(SECOND)
    # A whole packet, as they come in the overlay network too.
    size = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
    pair.as_root(FIRST, f'python3 -c \'{size} s.sendto(b"x" * 1472, ("{there}", 9))\'')


def test_a_page_on_a_machine_is_found_where_status_says(pair: Virtual) -> None:
    pair.as_root(FIRST, "mkdir /srv/page && cp /etc/ssh/*.pub /srv/page")
    pair.as_root(FIRST, "systemd-run --quiet --unit=page python3 -m http.server 3000 -d /srv/page")
    address = f"http://127.0.0.1:{pair.port(FIRST, 3000)}/ssh_host_ed25519_key.pub"
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as page:
                key = page.read().decode().split()[1]
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.5)

    assert key in (pair.directory / "known_hosts").read_text()
    plain = labkit("sandbox", "status", str(pair.directory)).stdout
    assert all(f"{port}->" in plain for port in (22, 80, 443, 3000))


def test_a_machine_that_froze_or_died_is_told_and_goes_on_with_the_next_up(pair: Virtual) -> None:
    pair.as_root(FIRST, "echo kept >/root/note; sync")
    pair.as_root(SECOND, "echo kept >/run/note")
    before = pair.process(SECOND)
    os.kill(before, signal.SIGSTOP)
    pair.cut_power(FIRST)

    told = pair.status()
    assert (told[FIRST]["state"], told[SECOND]["state"]) == ("exited", "frozen")
    assert (told[FIRST]["system"], told[SECOND]["system"]) == ("", "")
    pair.up(machines=2)

    assert [one["state"] for one in pair.status().values()] == ["running"] * 2
    assert pair.as_root(FIRST, "cat /root/note; hostname").split() == ["kept", FIRST]
    # What ran goes on; it was not made anew.
    assert pair.process(SECOND) == before
    assert pair.as_root(SECOND, "cat /run/note").strip() == "kept"
    assert_that_they_meet(pair)


def test_a_machine_that_was_never_finished_is_made_anew(pair: Virtual) -> None:
    sandbox = place.read(plan.sandbox_id(pair.directory))
    assert sandbox
    half = place.machines(sandbox)[1]
    (half.folder / "born").unlink()
    other = pair.process(FIRST)

    pair.up(machines=2)

    assert pair.process(FIRST) == other
    assert pair.as_root(SECOND, "test ! -e /run/note && hostname").strip() == SECOND


def test_down_leaves_nothing_and_the_next_up_is_warm(pair: Virtual) -> None:
    sandbox = place.read(plan.sandbox_id(pair.directory))
    assert sandbox
    ports = [port for one in place.machines(sandbox) for port in one.forwards.values()]

    pair.down()

    assert not [line for line in qemu_arguments() if sandbox.name in line]
    assert not sandbox.folder.exists()
    assert list(pair.directory.glob("*")) == []
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    again = pair.up(machines=2)
    print(f"\ntwo machines from the warm state: {again.seconds:.0f} s")  # noqa: T201 - told, with -s
    assert BOOTS_COLD not in again.stderr


# What an unprivileged user does, without what needs an engine: a machine from the image, and away.
UNPRIVILEGED = """
import sys
from pathlib import Path
from labkit.sandbox import plan
from labkit.sandbox.vm import machines, place, warm, wiring
image = next(path for path in place.images().iterdir() if path.name == sys.argv[1])
state, made_of = warm.ensure_warm(image, print)
planned = tuple(plan.machines(1, 1))
first = wiring.first_port("0a503fcf", planned, ())
sandbox = place.Sandbox(
    "0a503fcf", "trixie", image.name, state.name, made_of, "198.18.7.0/24", first, planned
)
place.write(sandbox)
(machine,) = place.machines(sandbox)
try:
    machines.ensure_machine(machine, "ssh-ed25519 AAAA nobody")
    print(machines.ask(machine, "hostname"))
finally:
    machines.remove(machine)
    place.forget(sandbox.name)
"""


def test_a_user_without_any_rights_runs_a_machine(pair: Virtual) -> None:
    sandbox = place.read(plan.sandbox_id(pair.directory))
    assert sandbox
    home = Path("/tmp") / f"labkit-nobody-{os.getpid()}"  # noqa: S108 - where anybody may go
    nobody = ("--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups")
    rights = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
    try:
        shutil.copytree(place.images() / sandbox.image, home / "labkit" / "images" / sandbox.image)
        subprocess.run(["chown", "-R", str(NOBODY), home], check=True)
        done = subprocess.run(
            ["setpriv", *nobody, *rights, sys.executable, "-c", UNPRIVILEGED, sandbox.image],
            cwd=home,
            env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(home)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == FIRST
