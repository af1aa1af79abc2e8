"""What a machine is created with, on either hierarchy of control groups."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.sandbox import machines, plan
from labkit.sandbox.build import pack
from labkit.sandbox.recipe import Recipe, container_config

NETWORK = IPv4Network("198.18.7.0/24")


@pytest.mark.parametrize("cgroup_v2", [True, False])
def test_a_machine_has_its_fixed_address_and_the_sandboxs_label(*, cgroup_v2: bool) -> None:
    recipe = Recipe("image", NETWORK, "key", cgroup_v2, "nameserver 192.0.2.53\n")
    config = container_config("0a503fcf", plan.machines(1, 3)[1], recipe)
    endpoint = config["NetworkingConfig"]["EndpointsConfig"]["labkit-0a503fcf"]

    assert endpoint["IPAMConfig"] == {"IPv4Address": "198.18.7.12"}
    assert config["Labels"]["labkit.sandbox"] == "0a503fcf"
    assert not config["HostConfig"].get("Privileged")


def test_the_unified_hierarchy_is_a_machines_own() -> None:
    recipe = Recipe("image", NETWORK, "key", cgroup_v2=True, resolver_settings="")
    config = container_config("0a503fcf", plan.machines(1, 1)[0], recipe)

    assert config["HostConfig"]["CgroupnsMode"] == "private"
    assert config["HostConfig"]["Binds"] == []
    assert not any("SYSTEMD" in line for line in config["Env"])


def test_the_same_files_are_packed_into_the_same_bytes() -> None:
    one = {"a": (b"1", 0o644), "b": (b"2", 0o755)}

    assert pack(one) == pack(dict(reversed(one.items())))
    assert pack(one) != pack(one | {"a": (b"3", 0o644)})


def test_groups_that_a_dead_machine_left_are_swept_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "memory" / "docker" / "dead" / "system.slice" / "ssh.service").mkdir(parents=True)
    (tmp_path / "memory" / "docker" / "alive").mkdir()
    machines.sweep_control_groups("dead", tmp_path)

    assert [path.name for path in (tmp_path / "memory" / "docker").iterdir()] == ["alive"]
