"""The machine itself: its name, its tools, its clock, its disk, and that it is left in peace."""

import re
import time
from shlex import quote

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise

CLOCK_SECONDS = 5.0
# Those that the role base knows; whichever there is keeps the clock.
TIME_SERVICES = ("chrony", "ntpsec", "ntp", "openntpd", "systemd-timesyncd")


def test_the_machine_has_its_name(host: Host, machine: Machine) -> None:
    wanted = machine.inputs.get("base_hostname") or machine.name
    seen = host.check_output("hostname")

    promise(
        seen == wanted,
        expected=f"the host name {wanted}",
        seen=seen,
        todo=machine.repair("base"),
    )


def test_the_workshops_tools_are_there(host: Host, machine: Machine) -> None:
    names = machine.inputs.get("base_packages") or []
    form = "${Package} ${db:Status-Status}\\n"
    seen = host.run(f"dpkg-query --show --showformat='{form}' -- {' '.join(map(quote, names))}")
    there = set(re.findall("^(.*) installed$", seen.stdout, re.MULTILINE))
    missing = [name for name in names if name not in there]

    promise(
        not missing,
        expected=f"the packages {', '.join(names)}",
        seen=f"no {', '.join(missing)}",
        todo=machine.repair("base"),
    )


def test_text_is_utf_8(host: Host, machine: Machine) -> None:
    seen = host.run("cat /etc/default/locale")

    promise(
        re.search(r"^LANG=\S*utf-?8", seen.stdout, re.IGNORECASE | re.MULTILINE),
        expected="LANG in /etc/default/locale to be a UTF-8 locale",
        seen=seen.stdout or seen.stderr,
        todo=machine.repair("base"),
    )


def test_the_clock_is_kept_right(host: Host, machine: Machine) -> None:
    if host.run("systemd-detect-virt --quiet --container").succeeded:
        pytest.skip("a container has the clock of its box")
    seen = host.run(f"systemctl is-active {' '.join(TIME_SERVICES)}")

    promise(
        "active" in seen.stdout.split(),
        expected=f"one of {', '.join(TIME_SERVICES)} to be active",
        seen=", ".join(seen.stdout.split()),
        todo=machine.repair("base"),
    )


def test_cloud_init_leaves_names_alone(host: Host, machine: Machine) -> None:
    seen = host.run("! command -v cloud-init || test -s /etc/cloud/cloud.cfg.d/99_labkit.cfg")

    promise(
        seen.succeeded,
        expected="/etc/cloud/cloud.cfg.d/99_labkit.cfg to keep cloud-init off names",
        seen="cloud-init, and no such file",
        todo=machine.repair("base"),
    )


def test_the_clock_is_right(host: Host) -> None:
    before = time.time()
    there = float(host.check_output("date +%s.%N"))
    after = time.time()
    # The machine looked at its clock somewhere in between, most likely half way.
    off = there - (before + after) / 2

    promise(
        abs(off) <= CLOCK_SECONDS + (after - before) / 2,
        expected=f"a clock within {CLOCK_SECONDS:g} s of this controller's",
        seen=f"one that is {off:+.1f} s off",
        todo="see which of the two is wrong: timedatectl status, on the machine and here",
    )


def test_there_is_room_for_the_workshop(host: Host, machine: Machine) -> None:
    wanted = int(machine.inputs.get("images_reserve_mb") or 0)
    seen = host.run("df --output=avail --block-size=1M /var/lib/docker | tail -n 1")

    promise(
        seen.succeeded and int(seen.stdout) >= wanted,
        expected=f"{wanted} MB left where Docker keeps its images",
        seen=f"{seen.stdout.strip()} MB {seen.stderr}".strip(),
        todo="free some: docker system df shows what takes it, docker system prune what may go",
    )


def test_nothing_upgrades_itself_during_the_class(host: Host, machine: Machine) -> None:
    wanted = bool(machine.inputs.get("base_upgrades_held"))
    seen = host.run("apt-config dump APT::Periodic::Enable")

    promise(
        not wanted or seen.stdout.strip() == 'APT::Periodic::Enable "0";',
        expected="apt's daily upgrades to be held off: APT::Periodic::Enable 0",
        seen=seen.stdout + seen.stderr,
        todo=machine.repair("base"),
    )
