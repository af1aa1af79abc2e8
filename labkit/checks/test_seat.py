"""The seat: its machines know each other by name, and could form a swarm."""

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise
from labkit.events import NOTE

SWARM_PORTS = (2377, 7946)
# What each kernel feature is tried with; `unshare -n` keeps the machine's own network out of it.
TRIALS = {
    "overlay": "docker info --format '{{.Driver}}' | grep -E '^(overlay|overlay2|overlayfs)$'",
    "bridge": "unshare -n ip link add name labkit0 type bridge",
    "vxlan": "unshare -n ip link add name labkit0 type vxlan id 1 dstport 4789 dev lo",
}


def test_the_seats_machines_have_names(host: Host, machine: Machine) -> None:
    wrong = []
    for mate in machine.seat_machines:
        for name in (f"vm{mate.number}", mate.name):
            seen = host.run("getent ahostsv4 %s", name).stdout.split()
            meant = host.run("getent ahostsv4 %s", mate.address).stdout.split()
            if not seen or seen[:1] != meant[:1]:
                wrong.append(f"{name} is {seen[0] if seen else 'unknown'}, not {mate.address}")

    promise(
        not wrong,
        expected="vm1, vm2, … and the inventory's names to mean the machines of this seat",
        seen="; ".join(wrong),
        todo=machine.repair("base"),
    )


def test_the_swarms_ports_are_free(host: Host, machine: Machine) -> None:
    ports = [*SWARM_PORTS, machine.inputs.get("swarm_node_data_path_port") or 4789]
    seen = host.run(f"ss -Hlntup '{' or '.join(f'sport = :{port}' for port in ports)}'")
    # The kernel itself holds the last once there is an overlay network: no process is named.
    foreign = [
        line for line in seen.stdout.splitlines() if "users:" in line and "dockerd" not in line
    ]

    promise(
        seen.succeeded and not foreign,
        expected=f"the ports {', '.join(map(str, ports))} to be free, or the engine's",
        seen="; ".join(foreign) or seen.stderr,
        todo="stop what holds them, or move it to another port",
    )


def test_nothing_stands_between_the_seats_machines(host: Host, machine: Machine) -> None:
    blocked = []
    for mate in machine.mates:
        # A mate that is switched off has a verdict of its own.
        if _answer(host, mate.address, 22):
            continue
        for port in ("2377", "7946"):
            said = _answer(host, mate.address, int(port))
            if said and "refused" not in said:
                blocked.append(f"{mate.name} port {port}: {said}")

    promise(
        not blocked,
        expected="the seat's machines to reach each other at the swarm's ports",
        seen="; ".join(blocked),
        todo="open 2377/tcp, 7946/tcp+udp, 4789/udp between them: see the cloud's firewall rules",
    )


def test_the_kernel_has_what_a_swarm_needs(host: Host, feature: str) -> None:
    seen = host.run(TRIALS[feature])

    promise(
        seen.succeeded,
        expected=f"the kernel feature {feature} to work",
        seen=seen.stderr or seen.stdout,
        todo=f"boot a kernel that has it, or see what it says: modprobe {feature}; dmesg",
    )


def test_packets_are_forwarded_now_and_after_a_boot(host: Host, machine: Machine) -> None:
    seen = host.run("cat /proc/sys/net/ipv4/ip_forward /etc/sysctl.d/90-labkit.conf")

    promise(
        seen.stdout.startswith("1\n") and "net.ipv4.ip_forward = 1" in seen.stdout,
        expected="net.ipv4.ip_forward to be 1, and /etc/sysctl.d/90-labkit.conf to keep it so",
        seen=seen.stdout + seen.stderr,
        todo=machine.repair("swarm_node"),
    )


def test_the_routing_mesh_can_work(host: Host, machine: Machine) -> None:
    if not machine.inputs.get("swarm_node_mesh"):
        pytest.skip(f"{NOTE}no routing mesh on these machines")
    seen = host.run("modprobe -q ip_vs; test -e /proc/net/ip_vs")

    promise(
        seen.succeeded,
        expected="IPVS in the kernel, for a swarm's routing mesh",
        seen="no /proc/net/ip_vs",
        todo="use another kernel, or do without the mesh: set swarm_node_mesh: false",
    )


def _answer(host: Host, address: str, port: int) -> str:
    """Return why a connection could not be made, or nothing if it could."""
    line = f"timeout 3 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
    seen = host.run(line)
    if seen.succeeded:
        return ""
    return seen.stderr.strip().splitlines()[-1] if seen.stderr.strip() else "no answer within 3 s"
