"""What the attendee may count on, on three machines that are a swarm already."""

import json
from typing import Any

import pytest
from testinfra.host import Host

NAMES = ("vm1", "seat01-vm1")


def as_attendee(host: Host, command: str) -> str:
    """Run a command in a login shell of the attendee's; it must succeed."""
    with host.sudo("student"):
        return host.check_output("bash -lc %s", command)


def is_first(host: Host) -> bool:
    return host.check_output("hostname") == "seat01-vm1"


def nodes(host: Host) -> dict[str, Any]:
    listed = json.loads(as_attendee(host, "docker node inspect $(docker node ls -q)"))
    return {node["Description"]["Hostname"]: node for node in listed}


def test_the_machine_is_in_its_seats_swarm(host: Host) -> None:
    swarm = json.loads(as_attendee(host, "docker info --format '{{json .Swarm}}'"))
    own = host.check_output("getent hosts %s", host.check_output("hostname")).split()[0]

    assert swarm["LocalNodeState"] == "active"
    assert swarm["ControlAvailable"] == is_first(host)
    assert swarm["NodeAddr"] == own


def test_the_manager_knows_three_nodes_with_their_labels(host: Host) -> None:
    if not is_first(host):
        pytest.skip("only the manager knows")
    seen = nodes(host)

    assert {name: node["Spec"]["Labels"] for name, node in seen.items()} == {
        "seat01-vm1": {"zone": "dmz"},
        "seat01-vm2": {"zone": "inside"},
        "seat01-vm3": {"zone": "inside"},
    }
    assert {node["Status"]["State"] for node in seen.values()} == {"ready"}


@pytest.mark.parametrize("name", NAMES)
def test_every_machine_fetches_what_one_has_brought_to_the_registry(host: Host, name: str) -> None:
    own = host.check_output("hostname")
    image = f"{name}:443/{own}/hello:1"
    as_attendee(host, f"docker pull -q hello-world && docker tag hello-world {image}")

    assert "digest: sha256:" in as_attendee(host, f"docker push {image}")
    as_attendee(host, f"docker rmi {image}")
    assert "Hello" in as_attendee(host, f"docker run --rm --pull=always {image}")
    as_attendee(host, f"docker rmi {image}")


def test_the_registry_is_trusted_for_its_authority_and_not_for_carelessness(host: Host) -> None:
    info = json.loads(as_attendee(host, "docker info --format '{{json .RegistryConfig}}'"))

    assert set(info["InsecureRegistryCIDRs"]) <= {"127.0.0.0/8", "::1/128"}
    assert {name for name, one in info["IndexConfigs"].items() if not one["Secure"]} == set()


def test_the_authoritys_key_is_on_no_machine(host: Host) -> None:
    with host.sudo():
        found = host.check_output("find /etc /home /root /tmp -path '*registry*' -name '*.key'")

    assert found == ("/home/student/registry/registry.key" if is_first(host) else "")
