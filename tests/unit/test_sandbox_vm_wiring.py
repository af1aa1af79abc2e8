"""Ports and the LAN of virtual machines follow from the directory, and two sandboxes never meet."""

import socket

import pytest

from labkit.errors import ControllerError
from labkit.sandbox import plan
from labkit.sandbox.vm import wiring

LARGEST = plan.machines(plan.MOST_SEATS, plan.MOST_MACHINES_PER_SEAT)


def test_a_port_tells_machine_and_service() -> None:
    assert wiring.forwards(14_000, 11) == {22: 14_011, 80: 14_261, 443: 14_511, 3000: 14_761}


def test_the_ports_of_the_largest_class_are_all_its_own() -> None:
    ports = [port for one in LARGEST for port in wiring.forwards(14_000, one.offset).values()]

    assert len(ports) == len(set(ports)) == 4 * len(LARGEST)
    assert min(ports) > 14_000
    assert max(ports) < 15_000


def test_no_port_is_one_that_the_kernel_hands_out() -> None:
    last = list(wiring.in_order("00000000"))[-1]

    assert max(wiring.forwards(last, 249).values()) < 32_768


def test_a_thousand_of_which_one_is_in_use_or_another_sandboxs_is_passed_over() -> None:
    machines = plan.machines(1, 2)
    first, second, third = list(wiring.in_order("0a503fcf"))[:3]
    assert wiring.first_port("0a503fcf", machines, taken=()) == first

    with socket.socket() as busy:
        busy.bind(("127.0.0.1", wiring.forwards(first, machines[1].offset)[443]))
        busy.listen()
        assert wiring.first_port("0a503fcf", machines, taken=()) == second
        assert wiring.first_port("0a503fcf", machines, taken={second}) == third


def test_where_none_is_free_it_is_said_what_to_do() -> None:
    with pytest.raises(ControllerError) as refused:
        wiring.first_port("0a503fcf", plan.machines(1, 1), taken=range(100_000))

    assert "sandbox down" in str(refused.value.hint)


def test_two_sandboxes_have_two_lans_and_no_card_twice() -> None:
    names = ("0a503fcf", "0a503fce", "0a513fcf", "1a503fcf")
    cards = {wiring.mac(name, one.offset) for name in names for one in LARGEST}

    assert len({wiring.lan(name) for name in names}) == len(names)
    # The first three bytes name QEMU: the card is nobody's real one.
    assert all(one.startswith("52:54:00:") for one in cards)
    assert len({wiring.mac(names[0], one.offset) for one in LARGEST}) == len(LARGEST)


def test_the_lan_is_a_group_of_this_site_alone() -> None:
    assert wiring.lan("0a503fcf") == wiring.Lan("239.10.80.63", 47_207)
