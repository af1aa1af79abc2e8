"""What is wrong with a machine, and what the instructor reads about it."""

import re
from typing import Any

import pytest
from ansible.module_utils import labkit_judgement as judgement
from ansible.module_utils import labkit_kernel as kernel
from ansible.module_utils import labkit_machine as looking
from ansible.module_utils import labkit_routes as routes

from labkit import refusals
from labkit.paths import content

NEEDS = {"memory_mb": 700, "docker_disk_mb": 2000, "root_disk_mb": 1000}


def machine(**different: Any) -> dict[str, Any]:
    return {
        "distribution": "debian",
        "release": "13",
        "architecture": "amd64",
        "systemd": True,
        "python": "3.13.5",
        "memory_mb": 950,
        "disk_free_mb": 6000,
        "root_free_mb": 6000,
        "one_disk": True,
        "engine": False,
        "avx": True,
        "machine_id": "0" * 32,
        **different,
    }


def test_a_small_rented_machine_is_large_enough() -> None:
    assert judgement.judge_system(machine(), "distribution") == []
    assert judgement.judge_size(machine(), NEEDS) == []
    assert judgement.judge_identity(machine(), "seat01-vm1") == []


@pytest.mark.parametrize(
    ("different", "said"),
    [
        ({"release": "11"}, "debian 11 is not supported"),
        ({"distribution": "fedora", "release": ""}, "fedora (no release) is not supported"),
        ({"architecture": "riscv64"}, "its processor is riscv64"),
        ({"systemd": False}, "systemd is not running it"),
        ({"python": "3.9.2"}, "its Python is 3.9.2"),
    ],
)
def test_another_system_is_refused(different: dict[str, Any], said: str) -> None:
    found = judgement.judge_system(machine(**different), "docker")

    assert [one["what"] for one in found] == [said]


@pytest.mark.parametrize(
    ("different", "source", "tested"),
    [
        ({}, "distribution", True),
        ({}, "docker", True),
        ({"release": "12"}, "docker", True),
        ({"architecture": "arm64"}, "docker", False),
        ({"distribution": "ubuntu", "release": "24.04"}, "docker", False),
    ],
)
def test_a_system_that_no_test_runs_on_is_no_problem_but_told(
    different: dict[str, Any], source: str, *, tested: bool
) -> None:
    system = machine(**different)

    assert judgement.judge_system(system, source) == []
    assert (judgement.untested(system, source) == []) is tested


def test_the_readme_tells_the_same_systems_as_tested() -> None:
    page = " ".join((content() / "README.md").read_text().split())
    said = page.partition("Tested in CI: ")[2].partition("Supported, but not")[0]

    assert {(name, release) for name, release, _ in judgement.TESTED} == {
        (name.lower(), release.rstrip("."))
        for name, release in re.findall(r"(Debian|Ubuntu) ([\d.]+)", said)
    }


def test_debian_12_needs_dockers_own_packages() -> None:
    old = machine(release="12")

    [found] = judgement.judge_system(old, "distribution")
    assert "docker_engine_source: docker" in found["todo"]
    assert judgement.judge_system(old, "docker") == []


def test_one_file_system_must_hold_both() -> None:
    few = {"disk_free_mb": 2500, "root_free_mb": 2500}

    assert judgement.judge_size(machine(**few, one_disk=False), NEEDS) == []
    [found] = judgement.judge_size(machine(**few), NEEDS)
    assert found["what"] == "2500 MiB free on the file system of /var/lib/docker, 3000 needed"


def test_a_provisioned_machine_is_not_refused_for_what_it_holds_already() -> None:
    few = {"disk_free_mb": 700, "root_free_mb": 700, "engine": True}

    assert judgement.judge_size(machine(**few), NEEDS) == []


@pytest.mark.parametrize("name", ["seat01-vm1", "a", "vm1.class.example", "Seat1"])
def test_a_host_name_is_taken(name: str) -> None:
    assert judgement.is_host_name(name)
    # labkit says so before the machine does.
    assert refusals.is_host_name(name)


@pytest.mark.parametrize("name", ["seat_01", "192.0.2.11", "::1", "-a", "a-", "", "a" * 65, "ä"])
def test_what_cannot_be_a_host_name_is_refused(name: str) -> None:
    assert not judgement.is_host_name(name)
    assert not refusals.is_host_name(name)


def test_a_copied_machine_without_an_id_is_named() -> None:
    [found] = judgement.judge_identity(machine(machine_id=""), "vm1")

    assert "/etc/machine-id" in found["what"]


def test_a_clock_may_lag_but_not_be_wrong() -> None:
    assert judgement.judge_clock(-3, 60) == []
    assert "about 90 s behind" in judgement.judge_clock(-90, 60)[0]["what"]
    assert "about 3600 s ahead of" in judgement.judge_clock(3600, 60)[0]["what"]


def test_only_wanted_features_are_missed() -> None:
    answers = {"overlay": "", "ipvs": "not there"}

    assert judgement.judge_kernel(answers, ["overlay"]) == []
    [found] = judgement.judge_kernel(answers, ["overlay", "ipvs"])
    assert "no IPVS in its kernel" in found["what"]
    assert "swarm_node_mesh: false" in found["todo"]


@pytest.mark.parametrize(
    ("reference", "needed"),
    [
        ("mongo", True),
        ("mongo:8.0.4-noble", True),
        ("docker.io/library/mongo:7@sha256:00", True),
        ("mongodb/mongodb-community-server:8.0-ubi8", True),
        ("mongo:4.4", False),
        ("mongo-express:1", False),
        ("ubuntu:24.04", False),
        ("registry.example:5000/mongo/tools:9", False),
    ],
)
def test_mongodb_needs_avx_from_version_5_on(reference: str, *, needed: bool) -> None:
    assert judgement.needs_avx(reference) is needed
    assert len(judgement.judge_processor(machine(avx=False), [reference])) == needed
    assert judgement.judge_processor(machine(), [reference]) == []


def test_a_missing_route_says_whose_turn_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = routes.Server("mirror.example", 5000)
    monkeypatch.setattr(judgement, "apt_urls", lambda: ["http://apt.example/debian"])
    monkeypatch.setattr(judgement, "apt_proxies", lambda: {"http": "http://proxy.example:3142"})
    monkeypatch.setattr(
        judgement, "unreachable", lambda servers, _: dict.fromkeys(servers, "Connection refused")
    )

    proxy, registry = judgement.judge_routes(
        {
            "package_urls": [],
            "registry_urls": [f"http://{mirror.host}:{mirror.port}"],
            "registry_proxies": {"no-proxy": "localhost"},
            "route_seconds": 1,
        }
    )

    assert proxy["what"].startswith("cannot reach the proxy proxy.example:3142 for http://apt.exam")
    assert registry["what"] == "cannot reach mirror.example:5000: Connection refused"
    assert "registry-mirrors" in registry["todo"]


def test_no_time_for_routes_asks_for_none() -> None:
    assert judgement.judge_routes({"route_seconds": 0.0}) == []


def test_all_problems_are_one_message() -> None:
    said = judgement.sentence([judgement.problem("no", "do"), judgement.problem("nor", "mend")])

    assert (
        said == "2 problems to solve first (nothing was touched):\n- no\n  -> do\n- nor\n  -> mend"
    )


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://registry-1.docker.io", ("registry-1.docker.io", 443)),
        ("http://[2001:db8::1]:5000/v2", ("2001:db8::1", 5000)),
        ("mirror.example:5000", ("mirror.example", 5000)),
        ("file:/srv/debian", None),
        ("mirror+file:/etc/apt/mirrors.txt", None),
    ],
)
def test_a_url_leads_to_a_server(url: str, server: tuple[str, int] | None) -> None:
    assert routes.server_of(url) == server


def test_proxies_and_their_exceptions_are_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://env.example:8080")
    monkeypatch.setenv("no_proxy", "near.example")
    hop = routes.first_hop

    assert hop("https://far.example", {}) == ("env.example", 8080)
    assert hop("https://near.example", {}) == ("near.example", 443)
    assert hop("https://far.example", {"https": "http://own.example:3128"}) == ("own.example", 3128)
    assert hop("https://far.example", {"https": "DIRECT"}) == ("far.example", 443)


def test_an_unreachable_server_does_not_hide_the_reachable_one() -> None:
    with routes.socket.create_server(("127.0.0.1", 0)) as there:
        open_port = routes.Server("127.0.0.1", there.getsockname()[1])
        with routes.socket.create_server(("127.0.0.1", 0)) as gone:
            closed = routes.Server("127.0.0.1", gone.getsockname()[1])

        assert routes.unreachable([open_port, closed], 2) == {closed: "Connection refused"}


def test_a_machine_is_read_from_its_own_files() -> None:
    release = 'ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="x=y"\n'
    listing = (
        '[{"ifname": "lo", "addr_info": [{"local": "127.0.0.1", "scope": "host"}]},'
        ' {"ifname": "eth0", "addr_info": [{"local": "192.0.2.11", "scope": "global"}]}]'
    )

    assert looking.os_release(release)["VERSION_ID"] == "24.04"
    assert looking.memory_mb("MemFree: 1 kB\nMemTotal:  983040 kB\n") == 960
    assert looking.addresses(listing) == [{"interface": "eth0", "address": "192.0.2.11"}]
    assert looking.addresses("ip: not found") == []


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints() -> None:
    key = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB root@vm1"
    )

    assert looking.fingerprint(key) == "SHA256:RXm/ruZ0eTzRXKwi1AQEDynB0VgHQ2ac9KPSFdf/YnA"
    assert looking.fingerprint("") == ""


def test_a_netlink_attribute_is_found_behind_others() -> None:
    answer = kernel._attribute(2, b"IPVS\0") + kernel._attribute(1, b"\x2a\x00")  # noqa: SLF001

    assert kernel._read_attribute(answer, 1) == 42  # noqa: SLF001
    with pytest.raises(OSError, match="lacks"):
        kernel._read_attribute(answer, 7)  # noqa: SLF001
