"""Names and addresses follow from the directory alone, and two sandboxes never meet."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.sandbox import plan
from labkit.sandbox.network import read_routes


def test_the_same_directory_always_gets_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    roundabout = tmp_path / "here" / ".." / "sandbox"

    assert plan.sandbox_id(roundabout) == plan.sandbox_id(tmp_path / "sandbox")
    assert plan.sandbox_id(tmp_path / "other") != plan.sandbox_id(tmp_path / "sandbox")


def test_an_address_tells_seat_and_machine() -> None:
    network = IPv4Network("198.18.7.0/24")
    names = {one.name: one.address(network) for one in plan.machines(2, 3)}

    assert list(names) == [f"seat0{seat}-vm{vm}" for seat in (1, 2) for vm in (1, 2, 3)]
    assert names["seat01-vm1"] == "198.18.7.11"
    assert names["seat02-vm3"] == "198.18.7.23"


def test_the_largest_class_fits_into_its_network() -> None:
    network = IPv4Network("198.18.7.0/24")
    machines = plan.machines(plan.MOST_SEATS, plan.MOST_MACHINES_PER_SEAT)
    addresses = {one.address(network) for one in machines}

    assert len(addresses) == len(machines)
    assert str(plan.gateway(network)) not in addresses
    assert str(network.broadcast_address) not in addresses


@pytest.mark.parametrize(("seats", "per_seat"), [(0, 1), (1, 0), (-1, 3), (25, 1), (1, 10)])
def test_a_count_that_cannot_be_is_bad_input(seats: int, per_seat: int) -> None:
    with pytest.raises(BadInput, match="cannot have") as refused:
        plan.machines(seats, per_seat)

    assert refused.value.hint


def test_a_taken_network_is_passed_over_and_the_order_stays() -> None:
    order = list(plan.free_networks("0a503fcf", []))
    wide = IPv4Network(f"{order[0].network_address}/23", strict=False)

    assert len(order) == 512
    assert next(plan.free_networks("0a503fcf", [order[0]])) == order[1]
    assert all(not one.overlaps(wide) for one in plan.free_networks("0a503fcf", [wide]))


def test_the_last_network_is_followed_by_the_first() -> None:
    last = f"{511:08x}"

    assert [str(one) for one in plan.free_networks(last, [])][:2] == [
        "198.19.255.0/24",
        "198.18.0.0/24",
    ]


def test_the_boxs_routes_are_read_without_the_default_one() -> None:
    table = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "tun0\t000012C6\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )

    assert [str(one) for one in read_routes(table)] == ["192.168.1.0/24", "198.18.0.0/16"]
