"""The names on a machine, its locale and its rest from upgrades."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/base"
settling = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_settle.py")))
packages = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_packages.py")))

HOSTS = "127.0.0.1 localhost\n127.0.1.1 seat01-vm1\n"
SEAT = [
    {"name": "seat01-vm1", "address": "192.0.2.11"},
    {"name": "seat01-vm2", "address": "192.0.2.12"},
]


def test_a_seats_machines_have_their_names_and_numbers_in_order() -> None:
    lines = settling.host_lines(SEAT, "seat01-vm1", "seat01-vm1")

    assert lines == ["192.0.2.11 seat01-vm1 vm1", "192.0.2.12 seat01-vm2 vm2"]


def test_another_host_name_is_found_too() -> None:
    lines = settling.host_lines(SEAT, "seat01-vm2", "zoe")

    assert lines[1] == "192.0.2.12 zoe seat01-vm2 vm2"


def test_an_own_name_on_the_loopback_becomes_a_comment_and_others_stay() -> None:
    text = "127.0.0.1 localhost\n127.0.1.1\tvm.example seat01-vm1\n127.0.1.1 other\n"
    once = settling.with_block(text, ["192.0.2.11 seat01-vm1 vm1"])

    assert "\n# labkit, see above: 127.0.1.1\tvm.example seat01-vm1\n127.0.1.1 other\n" in once
    assert settling.with_block(once, ["192.0.2.11 seat01-vm1 vm1"]) == once


def test_an_address_that_is_a_name_nobody_knows_is_told() -> None:
    seat = [{"name": "vm1", "address": "nobody.invalid"}]

    with pytest.raises(OSError, match="set ansible_host or seat_address"):
        settling.host_lines(seat, "vm1", "vm1")


def test_the_block_beats_older_lines_and_writing_it_twice_changes_nothing() -> None:
    once = settling.with_block(HOSTS, ["192.0.2.11 seat01-vm1"])

    assert once.index("192.0.2.11") < once.index("127.0.1.1")
    assert "\n127.0.0.1 localhost\n" in once
    assert settling.with_block(once, ["192.0.2.11 seat01-vm1"]) == once
    assert "192.0.2.11" not in settling.with_block(once, ["192.0.2.99 seat01-vm1"])


@pytest.mark.parametrize("there", ['LANG="de_CH.UTF-8"\n', "LANGUAGE=de\nLANG=C.utf8\n"])
def test_a_locale_with_utf_8_is_left_alone(there: str) -> None:
    assert settling.with_locale(there, "C.UTF-8") == there


@pytest.mark.parametrize("there", ["", "LANG=C\n", "LANG=de_CH\n"])
def test_a_locale_without_utf_8_is_replaced(there: str) -> None:
    assert settling.with_locale(there, "C.UTF-8") == "LANG=C.UTF-8\n"


def test_only_what_is_really_installed_counts() -> None:
    listing = "vim install ok installed\ngit deinstall ok config-files\ntmux hold ok installed\n"

    assert packages.missing(["vim", "git", "tmux", "nano", "git"], listing) == ["git", "nano"]
