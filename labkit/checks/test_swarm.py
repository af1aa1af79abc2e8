"""What an engine, an address, a link and a firewall have to be for a swarm of the seat's."""

import json
from typing import Any

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine, Mate
from labkit.checks.promise import promise

CHOSEN = "/etc/labkit/swarm.json"
AT_BOOT = "/etc/labkit/swarm-at-boot"
MODULES = ("br_netfilter", "vxlan")
VXLAN_BYTES, USUAL_MTU = 50, 1500
# Whatever keeps strangers out by itself, whether or not it says so to iptables.
FIREWALL = (
    "ufw status 2>/dev/null | grep -q 'Status: active'"
    " || firewall-cmd --state >/dev/null 2>&1"
    " || iptables -w -S INPUT | grep -Eq '^-P INPUT DROP|^-A INPUT -j (DROP|REJECT)'"
    " || nft list ruleset 2>/dev/null | grep -Eq 'hook input .*policy drop'"
)


def test_the_swarms_address_is_clear(host: Host, machine: Machine) -> None:
    wanted = _chosen(host, machine)["address"]
    own = {line.split()[3].split("/")[0] for line in _lines(host, "ip -o address")}
    ways = {mate.name: _source(host, mate) for mate in machine.mates}
    given = bool(machine.inputs.get("swarm_node_advertise_address"))
    wrong = [f"{name} is reached from {way}" for name, way in ways.items() if way != wanted]

    promise(
        given or (wanted in own and not wrong),
        expected=f"one address that the seat's machines know and use, {wanted}",
        seen="; ".join(wrong) or f"a machine that has {', '.join(sorted(own))}",
        todo="set seat_address in the inventory to each machine's address in the seat's own"
        " network, or swarm_node_advertise_address, and provision again",
    )


def test_the_engine_allows_a_swarm(host: Host, machine: Machine) -> None:
    info = _info(host, machine)
    backend = (info.get("FirewallBackend") or {}).get("Driver", "iptables")
    keeps = info.get("LiveRestoreEnabled")

    promise(
        not keeps and not backend.startswith("nftables"),
        expected="an engine that allows a swarm: live-restore off, firewall-backend iptables",
        seen=f"live-restore {'on' if keeps else 'off'}, firewall-backend {backend}",
        todo="see docker_engine_daemon, /etc/docker/daemon.json and dockerd's command line, then "
        + machine.repair("docker_engine"),
    )


def test_overlay_networks_fit_the_link(host: Host, machine: Machine) -> None:
    chosen = _chosen(host, machine)
    links = {
        address["local"]: (link["ifname"], link["mtu"])
        for link in json.loads(host.check_output("ip -json address"))
        for address in link["addr_info"]
    }
    name, mtu = links.get(chosen["data_path_address"], ("its link", USUAL_MTU))
    needs = chosen["overlay_mtu"] + VXLAN_BYTES
    read = (
        "import json; print(json.load(open('/etc/docker/daemon.json'))['default-network-opts']"
        "['overlay']['com.docker.network.driver.mtu'])"
    )
    told = host.run("python3 -c %s 2>/dev/null", read).stdout.strip() or str(USUAL_MTU)

    promise(
        needs <= mtu and told == str(needs),
        expected=f"packets of overlay networks, {needs} bytes with VXLAN's, to fit the link",
        seen=f"{name} with an MTU of {mtu}, and an engine that is told {told}",
        todo=machine.repair("swarm_node"),
    )


def test_the_machines_own_firewall_lets_the_seat_in(host: Host, machine: Machine) -> None:
    if host.run(f"test -e {AT_BOOT}").succeeded:
        unit = "systemctl is-enabled labkit-swarm.service"
        seen = host.run(f"{AT_BOOT} check && {unit}")
        opened, said = seen.succeeded, seen.stdout + seen.stderr
    else:
        opened = not machine.mates or host.run(FIREWALL).failed
        said = "a firewall that was not active when the machine was provisioned"

    promise(
        opened,
        expected="the machine's own firewall to let the seat's machines in, also after a boot",
        seen=said,
        todo=machine.repair("swarm_node"),
    )


def test_the_modules_of_a_swarm_are_loaded_now_and_at_boot(host: Host, machine: Machine) -> None:
    names = [*MODULES, *(["ip_vs"] if machine.inputs.get("swarm_node_mesh") else [])]
    # What is no module of this kernel is built in, or its box's business.
    seen = host.run(
        f"for name in {' '.join(names)}; do case $(modinfo -F filename $name 2>/dev/null) in"
        " /*) grep -qx $name /etc/modules-load.d/labkit.conf && test -d /sys/module/$name"
        " || echo $name;; esac; done"
    )

    promise(
        not seen.stdout,
        expected=f"the modules {', '.join(names)} to be loaded now and at every boot",
        seen=f"not so: {', '.join(seen.stdout.split())}",
        todo=machine.repair("swarm_node"),
    )


def test_the_machine_has_its_place_in_the_swarm(host: Host, machine: Machine) -> None:
    state = machine.inputs.get("swarm_node_state", "ready")
    if state == "ready":
        pytest.skip("making a swarm is the lesson")
    swarm, chosen = _info(host, machine)["Swarm"], _chosen(host, machine)
    member, manages = swarm["LocalNodeState"], bool(swarm.get("ControlAvailable"))
    known = [each["Addr"].rpartition(":")[0] for each in swarm.get("RemoteManagers") or ()]
    first = machine.seat_machines[0]
    wanted = _resolve(host, first.address)
    joined = member == "active" and (manages if first.name == machine.name else wanted in known)

    promise(
        member == "inactive" if state == "left" else joined,
        expected="the machine to be in no swarm"
        if state == "left"
        else f"the machine to be in the swarm of {first.name}, {wanted}",
        seen=f"a node that is {member}, {'a manager' if manages else 'no manager'}, at"
        f" {swarm.get('NodeAddr') or 'no address'}; managers {', '.join(known) or 'none'}",
        todo=f"run: labkit provision --limit {machine.seat} --tags swarm_node; its own address is"
        f" {chosen['address']}",
    )


def test_the_swarms_nodes_are_ready_and_labelled(host: Host, machine: Machine) -> None:
    if machine.inputs.get("swarm_node_state") != "joined" or machine.number > 1:
        pytest.skip("only the manager of a swarm that was asked for knows")
    listed = host.run("docker node inspect $(docker node ls -q)")
    known = json.loads(listed.stdout) if listed.succeeded else []
    # A machine that came back is listed twice; what it was before is down.
    known.sort(key=lambda node: node["Status"]["State"] == "ready")
    nodes = {node["Description"]["Hostname"]: node for node in known}
    wrong = [] if listed.succeeded else [listed.stderr]
    # Who is not in yet says so itself.
    for mate in (one for one in machine.seat_machines if one.hostname in nodes):
        node = nodes[mate.hostname]
        labels = node["Spec"].get("Labels") or {}
        lacks = {name: text for name, text in mate.labels.items() if labels.get(name) != text}
        if node["Status"]["State"] != "ready" or lacks:
            wrong.append(
                f"{mate.name} is {node['Status']['State']}, and lacks {lacks or 'nothing'}"
            )

    promise(
        not wrong,
        expected="the swarm's nodes to be ready, with the labels of swarm_node_labels",
        seen="; ".join(wrong),
        todo=f"run: labkit provision --limit {machine.seat} --tags swarm_node",
    )


def _chosen(host: Host, machine: Machine) -> dict[str, Any]:
    """Return what the role chose for a swarm here."""
    seen = host.run(f"cat {CHOSEN}")
    promise(
        seen.succeeded and seen.stdout.startswith("{"),
        expected=f"{CHOSEN} to say what was chosen for a swarm",
        seen=seen.stdout or seen.stderr,
        todo=machine.repair("swarm_node"),
    )
    found: dict[str, Any] = json.loads(seen.stdout)
    return found


def _info(host: Host, machine: Machine) -> dict[str, Any]:
    """Return what the engine tells of itself."""
    seen = host.run("docker info --format '{{json .}}'")
    promise(
        seen.succeeded,
        expected="the engine to tell of itself",
        seen=seen.stderr,
        todo=machine.repair("docker_engine"),
    )
    found: dict[str, Any] = json.loads(seen.stdout)
    return found


def _lines(host: Host, command: str) -> list[str]:
    lines: list[str] = host.check_output(command).splitlines()
    return lines


def _resolve(host: Host, address: str) -> str:
    """Return the address itself, or what a name stands for on the machine."""
    found = host.run("getent ahosts %s", address).stdout.split()
    return str(found[0]) if found else address


def _source(host: Host, mate: Mate) -> str:
    """Return the address from which the machine sends to a mate."""
    seen = host.run("ip -json route get %s", _resolve(host, mate.address))
    return str(json.loads(seen.stdout)[0].get("prefsrc")) if seen.succeeded else "nowhere"
