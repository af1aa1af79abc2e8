"""What two machines counted becomes what is wrong between them, worded for an instructor."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from labkit.seat.packets import Count, Place, lost, results, unproven, usual_size
from labkit.verifier import CheckResult

ONE = Place("vm1", "192.0.2.1", "192.0.2.1", 4789, 1500, 1500)
TWO = Place("vm2", "192.0.2.2", "198.51.100.2", 4789, 1500, 1500)
LABELS = {"2377/tcp": 10, "7946/tcp": 10, "7946/udp": 40, "4789/udp": 40, "1500 bytes": 10}

# What differs from a sound wire: label → how much of it arrives, is answered, and what went wrong.
Fault = Mapping[str, Mapping[str, Any]]


def counted(sender: Place, receiver: Place, fault: Fault) -> tuple[dict[str, Any], list, list]:
    """Return what is said of one direction: what was sent, what arrived, what was opened."""
    sent, arrived, opened = {}, [], []
    for label, many in LABELS.items():
        its = {
            "arrived": many,
            "answered": many,
            "error": "",
            "source": None,
            **fault.get(label, {}),
        }
        tcp = label.endswith("tcp")
        ports = list(range(many)) if tcp else []
        sent[label] = {"sent": many, "ports": ports, **{k: its[k] for k in ("answered", "error")}}
        usual = sender.address if tcp or label == "7946/udp" else sender.data_path
        source = its["source"] or usual
        if tcp:
            opened += [(label, source, port) for port in ports[: its["arrived"]]]
        elif its["arrived"]:
            arrived.append((sender.name, label, source, its["arrived"]))
    return {receiver.name: sent}, arrived, opened


def judged(
    fault: Fault, *, one: Place = ONE, two: Place = TWO, usual: int | None = 1500
) -> tuple[CheckResult, CheckResult]:
    """Return what is said of two machines if the way from the first to the second has a fault."""
    there, arrived, opened = counted(one, two, fault)
    back, arrived_back, opened_back = counted(two, one, {})
    first = Count(one, there, arrived_back, opened_back)
    second = Count(two, back, arrived, opened)
    return results(first, second, usual=usual, seconds=1.5)


def test_where_all_arrives_both_pass_without_a_word() -> None:
    for result, mate in zip(judged({}), ("vm2", "vm1"), strict=True):
        assert (result.outcome, result.seen, result.detail) == ("passed", "", "")
        assert result.promise == f"a swarm's packets pass to and from: {mate}"
        assert (result.check, result.seconds) == (f"packets.py::{mate}", 1.5)


def test_both_ends_of_a_bad_direction_hear_of_it() -> None:
    first, second = judged({"4789/udp": {"arrived": 0}})

    assert (first.machine, second.machine) == ("vm1", "vm2")
    assert first.outcome == second.outcome == "failed"
    assert first.seen == second.seen == "vm1 to vm2, 4789/udp: 0 of 40 arrived"
    assert "open 2377/tcp, 7946/tcp+udp and the data path's port (4789/udp)" in first.todo
    assert first.answer.startswith("expected all that a swarm sends to arrive")


def test_the_port_of_the_data_path_is_named_as_it_is() -> None:
    two = replace(TWO, port=7788)
    first, _ = judged({"7946/udp": {"arrived": 0}}, two=two)

    assert "(7788/udp)" in first.todo


def test_what_is_lost_alike_is_told_together() -> None:
    nothing = {label: {"arrived": 0, "answered": 0} for label in LABELS}
    first, _ = judged(nothing)

    assert first.seen == (
        "vm1 to vm2, 2377/tcp, 7946/tcp: 0 of 10 arrived;"
        " vm1 to vm2, 7946/udp, 4789/udp: 0 of 40 arrived"
    )


@pytest.mark.parametrize(("arrived", "outcome"), [(36, "passed"), (35, "failed"), (20, "failed")])
def test_a_tenth_may_get_lost(arrived: int, outcome: str) -> None:
    first, _ = judged({"7946/udp": {"arrived": arrived}})

    assert first.outcome == outcome
    assert f"7946/udp: {arrived} of 40 arrived" in first.detail + first.seen
    assert first.detail.startswith("note: ") or "ip -s link" in first.todo


def test_why_it_could_not_be_sent_is_told() -> None:
    first, _ = judged({"7946/udp": {"arrived": 0, "error": "Operation not permitted"}})

    assert first.seen.endswith("0 of 40 arrived (Operation not permitted)")


def test_a_connection_that_came_but_was_not_answered_is_told() -> None:
    first, _ = judged({"2377/tcp": {"answered": 0}})

    assert first.seen == "vm1 to vm2, 2377/tcp: 10 of 10 arrived, 0 were answered"


@pytest.mark.parametrize("label", ["2377/tcp", "7946/udp", "4789/udp"])
def test_who_comes_from_elsewhere_is_told_as_such(label: str) -> None:
    first, _ = judged({label: {"source": "203.0.113.9"}})

    assert first.seen == f"vm1 to vm2, {label}: they come from 203.0.113.9, not from 192.0.2.1"
    assert "swarm_node_advertise_address" in first.todo


def test_the_data_path_has_an_address_of_its_own() -> None:
    _, second = judged({"4789/udp": {"source": "192.0.2.2"}}, one=TWO, two=ONE)

    assert second.seen == "vm2 to vm1, 4789/udp: they come from 192.0.2.2, not from 198.51.100.2"


def test_a_way_too_narrow_is_told_only_if_small_packets_pass() -> None:
    narrow = {"1500 bytes": {"arrived": 0}}
    first, _ = judged(narrow)
    assert first.seen == "vm1 to vm2, 1500 bytes: 0 of 10 arrived"
    assert "swarm_node_overlay_mtu" in first.todo

    closed, _ = judged({**narrow, "4789/udp": {"arrived": 0}})
    assert "bytes" not in closed.seen


def test_a_link_that_is_not_like_the_others_is_its_machines_own_fault() -> None:
    first, second = judged({}, two=replace(TWO, mtu=1400))
    assert (first.outcome, second.outcome) == ("passed", "failed")
    assert second.seen == "overlay networks of vm2 send packets of 1500 bytes, its link takes 1400"

    first, second = judged({}, two=replace(TWO, mtu=1400, needs=1400))
    assert (first.outcome, second.outcome) == ("passed", "failed")
    assert second.seen == ("overlay networks of vm2 send packets of 1400 bytes, those of vm1 1500")


def test_of_two_that_differ_nobody_knows_which_one_is_wrong() -> None:
    first, second = judged({}, two=replace(TWO, mtu=1400, needs=1400), usual=None)

    assert first.outcome == second.outcome == "failed"


@pytest.mark.parametrize(
    ("needs", "usual"), [([1500, 1400, 1500], 1500), ([1500, 1400], None), ([], None)]
)
def test_usual_is_what_most_need(needs: list[int], usual: int | None) -> None:
    assert usual_size(replace(ONE, needs=one) for one in needs) == usual


def test_sizes_are_those_that_both_ends_can() -> None:
    narrow = replace(TWO, mtu=1400)

    assert ONE.sizes(narrow) == narrow.sizes(ONE) == [1400, 1350]


def test_what_could_not_be_tried_is_a_note_and_no_failure() -> None:
    result = unproven("vm1", "vm2", "vm2 is not in this run")

    assert (result.outcome, result.check) == ("skipped", "packets.py::vm2")
    assert result.detail.startswith("note: not proven that it and vm2 reach each other")


@pytest.mark.parametrize(("away", "outcome"), [(True, "unreachable"), (False, "failed")])
def test_who_is_lost_is_told_as_what_he_is(outcome: str, *, away: bool) -> None:
    result = lost("vm1", "python3: not found", away=away)

    assert (result.outcome, result.seen) == (outcome, "python3: not found")
    assert result.todo
