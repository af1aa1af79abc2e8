"""The seat's registry: every engine trusts it, and its certificate is good for its names."""

import shlex

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise

PORT = 443
# The role renews a month before the end; here it is late.
SECONDS_LEFT = 14 * 24 * 3600


def test_the_engine_trusts_the_seats_registry(host: Host, machine: Machine) -> None:
    _wanted(machine)
    files = [f"/etc/docker/certs.d/{name}:{PORT}/ca.crt" for name in _names(machine)]
    seen = {file: host.run("cat %s", file).stdout for file in files}
    wrong = [file for file, text in seen.items() if not text or text != machine.authority]

    promise(
        not wrong,
        expected="the engine to trust the class's registry-ca.crt under all names of the registry",
        seen=f"another one, or none, in {', '.join(wrong)}",
        todo=machine.repair("swarm_node"),
    )


def test_the_seats_registry_has_a_good_certificate(
    host: Host, attendee: Host, machine: Machine
) -> None:
    _wanted(machine, first=True)
    trusted = f"/etc/docker/certs.d/vm1:{PORT}/ca.crt"
    tries = [f"openssl x509 -in registry.crt -noout -checkend {SECONDS_LEFT}"]
    for name in _names(machine):
        option = "-verify_ip" if _is_address(host, name) else "-verify_hostname"
        tries.append(f"openssl verify -CAfile {trusted} {option} {shlex.quote(name)} registry.crt")
    tries.append(
        'test "$(openssl x509 -in registry.crt -noout -pubkey)" ='
        ' "$(openssl pkey -in registry.key -pubout)"'
    )
    tries.append("test $(stat -c %a . registry.key | paste -sd,) = 700,600")
    said = [attendee.run(f"cd ~/registry && {line}") for line in tries]
    wrong = [
        f"{line}: {(one.stderr or one.stdout).strip()}"
        for line, one in zip(tries, said, strict=True)
        if one.failed
    ]

    promise(
        not wrong,
        expected="registry.crt and registry.key in the attendee's ~/registry to be good",
        seen="; ".join(wrong),
        todo=machine.repair("swarm_node"),
    )


def test_the_registrys_port_is_free(host: Host, machine: Machine) -> None:
    _wanted(machine, first=True)
    seen = host.run(f"ss -Hltnp 'sport = :{PORT}'")
    # A published port is the engine's, whichever container it leads to.
    foreign = [line for line in seen.stdout.splitlines() if '"docker' not in line]

    promise(
        seen.succeeded and not foreign,
        expected=f"port {PORT} to be free for the registry, or the engine's",
        seen="; ".join(foreign) or seen.stderr,
        todo="stop what holds it, or move it to another port",
    )


def test_the_seats_registry_answers(host: Host, machine: Machine) -> None:
    _wanted(machine, first=True)
    if machine.inputs.get("swarm_node_registry") != "running":
        pytest.skip("starting it is the lesson")
    wrong = []
    for name in _names(machine):
        option = "-verify_ip" if _is_address(host, name) else "-verify_hostname"
        seen = host.run(
            f"timeout 10 openssl s_client -connect %s:{PORT} -verify_return_error {option} %s"
            f" -CAfile '/etc/docker/certs.d/vm1:{PORT}/ca.crt' </dev/null",
            name,
            name,
        )
        if seen.failed:
            wrong.append(f"{name}: {(seen.stderr.strip().splitlines() or ['no answer'])[-1]}")

    promise(
        not wrong,
        expected="the seat's registry to answer by TLS under each of its names",
        seen="; ".join(wrong),
        todo="see why: docker logs registry; then " + machine.repair("swarm_node"),
    )


def _wanted(machine: Machine, *, first: bool = False) -> None:
    """Skip what does not concern this machine."""
    if machine.inputs.get("swarm_node_registry", "none") == "none":
        pytest.skip("the class has no registries")
    if first and machine.number > 1:
        pytest.skip("the registry is the first machine's")


def _names(machine: Machine) -> list[str]:
    """Return the names and the address of the seat's registry."""
    first = machine.seat_machines[0]
    return list(dict.fromkeys(["vm1", first.name, first.address]))


def _is_address(host: Host, name: str) -> bool:
    """Tell an address from a name."""
    return bool(host.run("getent ahosts %s", name).stdout.split()[:1] == [name])
