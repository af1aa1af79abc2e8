"""One round of the proof of a seat: probers on its machines, all at once, and what they counted."""

import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.classroom import Machine
from labkit.post import Lost, Post
from labkit.seat.packets import Count, Place, results, usual_size
from labkit.verifier import CheckResult

PROBER = Path(__file__).with_name("prober.py")
# How long a prober may take to be there, to send, and to count.
PATIENCE_TO_COME, PATIENCE_TO_SEND, PATIENCE_TO_COUNT = 20.0, 10.0, 5.0

Pair = frozenset[str]


@dataclass(slots=True)
class Proof:
    """
    Has the machines of some pairs of a seat send each other packets.

    `listed` holds the addresses of the seat's machines. After `run`, `counts` holds what was
    counted by those that came to the end, `lost` why the others did not.
    """

    machines: Sequence[Machine]
    pairs: Collection[Pair]
    listed: Mapping[str, str]
    directory: Path
    counts: dict[str, Count] = field(default_factory=dict)
    lost: dict[str, Lost] = field(default_factory=dict)
    seconds: float = 0.0
    _posts: dict[str, Post] = field(default_factory=dict)
    _stopped: bool = False

    def run(self) -> None:
        """Go through with it; nothing is left of it on any machine, however it ends."""
        began = time.monotonic()
        try:
            self._start()
            said = self._hear(PATIENCE_TO_COME)
            places = {name: Place.read(name, one) for name, one in said.items()}
            for name, post in self._posts.items():
                post.say({"mates": self._mates(places[name], places)})
            sent = self._hear(PATIENCE_TO_SEND)
            for post in self._posts.values():
                post.say({})
            for name, found in self._hear(PATIENCE_TO_COUNT).items():
                self.counts[name] = Count(
                    places[name], sent[name]["sent"], found["arrived"], found["opened"]
                )
        finally:
            for post in self._posts.values():
                post.close()
        self.seconds = round(time.monotonic() - began, 3)

    def said(self) -> dict[Pair, tuple[CheckResult, CheckResult]]:
        """Return what came of each pair of which both were counted."""
        usual = usual_size(one.place for one in self.counts.values())
        return {
            pair: results(
                *(self.counts[name] for name in sorted(pair)), usual=usual, seconds=self.seconds
            )
            for pair in self.pairs
            if pair <= self.counts.keys()
        }

    def stop(self) -> None:
        """Break it off, from another thread."""
        self._stopped = True
        for post in tuple(self._posts.values()):
            post.hang_up()

    def _start(self) -> None:
        nonce = secrets.token_hex(8)
        for machine in self.machines:
            post = self._posts[machine.name] = Post(machine, self.directory, PROBER.read_bytes())
            if self._stopped:
                post.hang_up()
            mates = [mate for mate in self.listed if frozenset({machine.name, mate}) in self.pairs]
            post.say(
                {
                    "name": machine.name,
                    "nonce": nonce,
                    "listed": self.listed[machine.name],
                    "towards": self.listed[mates[0]],
                    "asked": str(machine.inputs.get("swarm_node_advertise_address") or ""),
                    "port": int(machine.inputs.get("swarm_node_data_path_port") or 4789),
                }
            )

    def _hear(self, patience: float) -> dict[str, dict[str, Any]]:
        """Return what each prober says next; who says nothing takes no part any more."""
        end = time.monotonic() + patience
        heard = {}
        for name, post in tuple(self._posts.items()):
            try:
                heard[name] = post.hear(end)
            except Lost as why:
                self.lost[name] = why
                self._posts.pop(name).close()
        return heard

    def _mates(self, place: Place, places: Mapping[str, Place]) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "address": mate.address,
                "data_path": mate.data_path,
                "port": mate.port,
                "sizes": place.sizes(mate),
            }
            for name, mate in places.items()
            if frozenset({place.name, name}) in self.pairs
        }
