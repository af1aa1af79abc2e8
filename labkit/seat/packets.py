"""What the machines of a seat counted, added up: which packets of a swarm do not get through."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from labkit.events import NOTE
from labkit.verifier import CheckResult

# Of the packets that go one way to one port, how many may get lost: a radio link loses some.
TOLERATED = 0.1
EXPECTED = "all that a swarm sends to arrive, in both directions, up to the size that it needs"
OPEN = (
    "open 2377/tcp, 7946/tcp+udp and the data path's port ({port}/udp) between them: in the"
    " machines' firewalls (labkit provision --tags swarm_node), in the cloud's rules; if the"
    " network keeps that port for itself, set swarm_node_data_path_port"
)
LOSES = "find what loses them: ip -s link on both machines, then the cable, radio or switch"
TRANSLATED = (
    "have the machines meet without a translation in between: set seat_address, or"
    " swarm_node_advertise_address"
)
NARROW = "let the way carry them, or set swarm_node_overlay_mtu to 50 less than it does carry"
UNLIKE = "give the links of the seat one MTU: ip link set dev LINK mtu SIZE, now and at boot"


@dataclass(frozen=True, slots=True)
class Place:
    """
    How a machine takes part in a swarm, as its prober says.

    `mtu` is that of the data path's link, `needs` the size that overlay networks have it send.
    """

    name: str
    address: str
    data_path: str
    port: int
    mtu: int
    needs: int

    @classmethod
    def read(cls, name: str, said: Mapping[str, Any]) -> "Place":
        """Return the place that a prober's first answer describes."""
        return cls(
            name, said["address"], said["data_path"], said["port"], said["mtu"], said["needs"]
        )

    def sizes(self, mate: "Place") -> list[int]:
        """Return the sizes that are sent to a mate: the biggest that both can, and 50 less."""
        size = min(self.mtu, self.needs, mate.mtu, mate.needs)
        return [size, size - 50]


@dataclass(frozen=True, slots=True)
class Count:
    """What a prober sent, by mate and label, and what arrived there; as it says it."""

    place: Place
    sent: Mapping[str, Mapping[str, Mapping[str, Any]]]
    arrived: Sequence[tuple[str, str, str, int]]
    opened: Sequence[tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong between two machines, or with one of them: `against` whom it is."""

    text: str
    todo: str
    against: frozenset[str]


def judge(one: Count, other: Count, usual: int | None) -> tuple[list[Finding], list[str]]:
    """
    Return what is wrong between two machines, and what the instructor should know all the same.

    `usual` is the size that most machines of the seat need, None if there is none.
    """
    findings = [*unlike(one.place, other.place, usual), *unlike(other.place, one.place, usual)]
    notes = []
    for sender, receiver in ((one, other), (other, one)):
        found, noted = _direction(sender, receiver)
        findings += found
        notes += noted
    return findings, notes


def usual_size(places: Iterable[Place]) -> int | None:
    """Return the size that more than half of the machines need, None if there is none."""
    needs = [one.needs for one in places]
    return next((size for size, its in Counter(needs).items() if its * 2 > len(needs)), None)


def unlike(place: Place, mate: Place, usual: int | None) -> Iterator[Finding]:
    """Yield what is wrong with the size of one machine's link, beside its mate's."""
    whose = frozenset({place.name})
    sends = f"overlay networks of {place.name} send packets of {place.needs} bytes"
    if place.mtu < place.needs:
        yield Finding(f"{sends}, its link takes {place.mtu}", UNLIKE, whose)
    elif place.needs not in {mate.needs, usual}:
        yield Finding(f"{sends}, those of {mate.name} {mate.needs}", UNLIKE, whose)


def _direction(sender: Count, receiver: Count) -> tuple[list[Finding], list[str]]:
    """Return what is wrong in one direction: labels of which the same is said are told together."""
    said: dict[tuple[str, str], list[str]] = {}
    lost: dict[str, list[str]] = {}
    port = f"{receiver.place.port}/udp"
    for label, note in sender.sent.get(receiver.place.name, {}).items():
        if label.endswith("bytes") and any(port in labels for labels in said.values()):
            continue  # what stops each packet stops big ones too
        todo, text = _label(label, note, sender, receiver)
        if todo:
            said.setdefault((todo, text), []).append(label)
        elif text:
            lost.setdefault(text, []).append(label)
    ways = f"{sender.place.name} to {receiver.place.name}"
    both = frozenset({sender.place.name, receiver.place.name})
    findings = [
        Finding(f"{ways}, {', '.join(labels)}: {text}", todo.format(port=receiver.place.port), both)
        for (todo, text), labels in said.items()
    ]
    return findings, [f"{ways}, {', '.join(labels)}: {text}" for text, labels in lost.items()]


def _label(label: str, note: Mapping[str, Any], sender: Count, receiver: Count) -> tuple[str, str]:
    """Return what to do about a label, if anything, and what is to be said of it, if anything."""
    place, sent = sender.place, note["sent"]
    tcp = label.endswith("tcp")
    expected = place.address if tcp or label.startswith("7946") else place.data_path
    sources = _sources(label, note, sender, receiver)
    arrived = sources.pop(expected, 0)
    enough = sent * (1 - TOLERATED)
    answered = note["answered"] if tcp else sent
    text = f"{arrived} of {sent} arrived"
    if sum(sources.values()) >= enough:
        return TRANSLATED, f"they come from {', '.join(sorted(sources))}, not from {expected}"
    if arrived < enough:
        why = f" ({note['error']})" if note["error"] else ""
        todo = NARROW if label.endswith("bytes") else LOSES if arrived else OPEN
        return todo, text + why
    if answered < enough:
        return OPEN, f"{text}, {answered} were answered"
    return "", "" if arrived == sent and answered == sent else text


def _sources(label: str, note: Mapping[str, Any], sender: Count, receiver: Count) -> dict[str, int]:
    """Return how many packets with a label came from which address."""
    if not label.endswith("tcp"):
        return {
            source: count
            for mate, its, source, count in receiver.arrived
            if (mate, its) == (sender.place.name, label)
        }
    # A connection has no name on it: it is known by the port that it was made from, which may
    # have been that of an earlier one too.
    seen = [
        source
        for port in note["ports"]
        for its, source, there in receiver.opened
        if (its, there) == (label, port)
    ]
    return dict(Counter(seen))


def results(
    one: Count, other: Count, *, usual: int | None, seconds: float
) -> tuple[CheckResult, CheckResult]:
    """Return what two machines are to each other, as a check of the one and of the other."""
    findings, notes = judge(one, other, usual)
    first, second = one.place.name, other.place.name
    return (
        _result(first, second, findings, notes, seconds),
        _result(second, first, findings, notes, seconds),
    )


def _result(
    machine: str, mate: str, findings: Sequence[Finding], notes: Sequence[str], seconds: float
) -> CheckResult:
    its = [finding for finding in findings if machine in finding.against]
    return CheckResult(
        machine,
        *_name(mate),
        "failed" if its else "passed",
        seconds,
        expected=EXPECTED if its else "",
        seen="; ".join(finding.text for finding in its),
        todo="; ".join(dict.fromkeys(finding.todo for finding in its)),
        detail=NOTE + "; ".join(notes) if notes and not its else "",
    )


def unproven(machine: str, mate: str, why: str) -> CheckResult:
    """Return the result of a check that could not be tried for want of the mate."""
    detail = f"{NOTE}not proven that it and {mate} reach each other: {why}"
    return CheckResult(machine, *_name(mate), "skipped", detail=detail)


def lost(machine: str, said: str, *, away: bool) -> CheckResult:
    """Return the result of a machine that did not go through with the proof of its seat."""
    return CheckResult(
        machine,
        "packets.py::machine",
        "it takes part in the proof of its seat",
        "unreachable" if away else "failed",
        expected="it to send packets to its mates, and to count theirs",
        seen=said,
        todo="run: labkit verify again, and see that it is switched on and has Python",
    )


def _name(mate: str) -> tuple[str, str]:
    """Return where the check of a mate stands, and its promise."""
    return f"packets.py::{mate}", f"a swarm's packets pass to and from: {mate}"
