"""What a class may count on, on a machine that the role depot has gone over, and nothing else."""

import json

import pytest
from testinfra.host import Host

ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=60)
# What is not asked for, a registry does not give.
kinds = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*"
connection.request(sys.argv[2], sys.argv[3], headers={"Accept": kinds})
answer = connection.getresponse()
print(answer.status, answer.read().decode(errors="replace"))
"""


def ask(host: Host, port: int, path: str, method: str = "GET") -> tuple[str, str]:
    """Return the status of an answer, and its body."""
    said = host.check_output("python3 -c %s %s %s %s", ASK, str(port), method, path)
    status, _, body = said.partition(" ")
    return status, body


@pytest.mark.parametrize("unit", ["labkit-depot-store", "labkit-depot-nginx"])
def test_the_depot_comes_back_after_a_reboot(host: Host, unit: str) -> None:
    assert host.service(unit).is_running
    assert host.service(unit).is_enabled


def test_it_says_that_it_is_a_depot(host: Host) -> None:
    status, body = ask(host, 5080, "/labkit")

    assert status == "200"
    assert json.loads(body) == {"labkit": "depot", "proxy_port": 3142}


def test_it_is_a_registry_that_nobody_can_push_to(host: Host) -> None:
    assert ask(host, 5080, "/v2/")[0] == "200"
    assert ask(host, 5080, "/v2/mine/blobs/uploads/", "POST")[0] == "403"


def test_what_was_not_seeded_comes_from_upstream(host: Host) -> None:
    status, _ = ask(host, 5080, "/v2/library/hello-world/manifests/latest")

    assert status == "200"


def test_what_nobody_has_is_not_found_rather_than_broken(host: Host) -> None:
    assert ask(host, 5080, "/v2/labkit/no-such-image/manifests/latest")[0] == "404"


def test_a_package_list_goes_through_it(host: Host) -> None:
    indices = host.check_output("apt-get indextargets --format '$(REPO_URI)dists/$(CODENAME)'")
    found = next(line for line in indices.splitlines() if line.startswith("http://"))

    assert ask(host, 3142, f"{found}/InRelease")[0] == "200"


def test_what_listens_on_its_loopback_is_not_to_be_had_through_it(host: Host) -> None:
    assert ask(host, 3142, "http://127.0.0.1:5081/v2/")[0] == "403"


def test_the_packages_own_services_do_not_run(host: Host) -> None:
    for unit in ("nginx", "docker-registry"):
        assert not host.service(unit).is_running
    assert not host.socket("tcp://0.0.0.0:80").is_listening


def test_the_registries_listen_to_this_machine_alone(host: Host) -> None:
    assert host.socket("tcp://127.0.0.1:5081").is_listening
    assert not host.socket("tcp://0.0.0.0:5081").is_listening


def test_what_it_served_is_written_down_for_the_status(host: Host) -> None:
    ask(host, 5080, "/v2/library/hello-world/manifests/latest")
    log = host.check_output("tail -n 1 /var/lib/labkit-depot/log/access.jsonl")

    assert {"kind", "cache", "status", "bytes"} <= json.loads(log).keys()
