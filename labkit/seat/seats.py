"""Which machines of a seat stand ready to be proven, and when; seats are proven side by side."""

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Self

from labkit.classroom import Machine
from labkit.post import Lost
from labkit.seat.packets import lost, unproven
from labkit.seat.proof import Pair, Proof
from labkit.verdicts import CHECKS
from labkit.verifier import CheckResult

# How long a machine waits for its seat's others; who comes later is proven with it then.
PATIENCE = 5.0
STEP = "see what passes between the seat's machines"


@dataclass(frozen=True, slots=True)
class Ears:
    """
    Who is told what; called from many threads.

    `begin` takes machine, part and step; `on_trial` says of whom a failure is told to
    `drifted`, with the promises, instead of to `tell`; `release` is called once for each
    machine that came, when it waits for nobody any more.
    """

    begin: Callable[[str, str, str], None]
    tell: Callable[[CheckResult], None]
    on_trial: Callable[[str], bool]
    drifted: Callable[[str, Sequence[str]], None]
    release: Callable[[str], None]


@dataclass(slots=True)
class _Seat:
    """The seat's machines in this run: those that have not come, stand, or wait to be let go."""

    listed: Mapping[str, str]
    expected: set[str]
    standing: dict[str, Machine] = field(default_factory=dict)
    waiting: dict[str, float] = field(default_factory=dict)
    proven: set[Pair] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    proof: Proof | None = None


class Seats:
    """
    Proves the seats of a run: machines come in when their own checks are over.

    A round takes all machines that stand, and each pair that was not proven yet. It begins when
    all of the seat's machines have come, or one has waited for long enough: so nobody is held up
    by a machine that is dead or slow, and who comes late is proven late, but is proven.
    """

    def __init__(
        self,
        machines: Iterable[Machine],
        listed: Mapping[str, Sequence[Mapping[str, str]]],
        ears: Ears,
        directory: Path,
        forks: int,
    ) -> None:
        self._machines = {one.name: one for one in machines}
        self._ears, self._directory = ears, directory
        self._seats = {
            seat: _Seat(
                {one["name"]: one["address"] for one in its},
                {one.name for one in self._machines.values() if one.seat == seat},
            )
            for seat, its in listed.items()
        }
        self._lock = threading.Lock()
        self._stopped = False
        self._timers: set[threading.Timer] = set()
        # A round is as many ssh as the seat has machines.
        self._pool = ThreadPoolExecutor(max(1, forks // 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def busy(self) -> bool:
        """Whether a machine that came has not been let go."""
        return any(seat.waiting or seat.proof for seat in self._seats.values())

    def come(self, machine: str, *, reachable: bool) -> None:
        """Take a machine whose own checks are over."""
        seat = self._seats[self._machines[machine].seat]
        with self._lock:
            seat.expected.discard(machine)
            seat.waiting[machine] = time.monotonic()
            if reachable:
                seat.standing[machine] = self._machines[machine]
            else:
                seat.gone.add(machine)
        if reachable:
            self._look_later(seat)
        self._look(seat)

    def unproven(self) -> Iterator[CheckResult]:
        """Yield for each machine that stood a result for each mate with whom it was not proven."""
        for seat in self._seats.values():
            for name in seat.standing:
                for mate in seat.listed:
                    if mate != name and frozenset({name, mate}) not in seat.proven:
                        out = mate not in self._machines
                        why = "is not in this run" if out else "could not take part"
                        yield unproven(name, mate, f"{mate} {why}")

    def stop(self) -> None:
        """Break off what goes on; nobody is told anything of it."""
        with self._lock:
            self._stopped = True
        for timer in self._timers:
            timer.cancel()
        for seat in self._seats.values():
            if seat.proof:
                seat.proof.stop()
        self._pool.shutdown(cancel_futures=True)

    def _look_later(self, seat: _Seat) -> None:
        timer = threading.Timer(PATIENCE, self._look, [seat])
        timer.daemon = True
        self._timers.add(timer)
        timer.start()

    def _look(self, seat: _Seat) -> None:
        """Begin a round if it is time for one, and let those go for whom there is none to come."""
        with self._lock:
            if self._stopped:
                return
            free = seat.gone & seat.waiting.keys()
            late = min(seat.waiting.values(), default=0.0) + PATIENCE <= time.monotonic()
            if not seat.proof and (late or not seat.expected):
                names = [name for name in seat.listed if name in seat.standing]
                pairs = [frozenset(two) for two in combinations(names, 2)]
                pairs = [pair for pair in pairs if pair not in seat.proven]
                if pairs and seat.waiting.keys() - free:
                    self._begin(seat, pairs)
                else:
                    free = set(seat.waiting)
            self._release(seat, free)

    def _begin(self, seat: _Seat, pairs: Sequence[Pair]) -> None:
        machines = [one for name, one in seat.standing.items() if any(name in two for two in pairs)]
        seat.proof = Proof(machines, pairs, seat.listed, self._directory)
        for name in seat.standing.keys() & seat.waiting.keys():
            self._ears.begin(name, CHECKS, STEP)
        self._pool.submit(self._round, seat, seat.proof)

    def _round(self, seat: _Seat, proof: Proof) -> None:
        try:
            proof.run()
        except BaseException as error:  # noqa: BLE001 - a thread's death would be seen by nobody
            why = Lost("".join(traceback.format_exception(error)[-2:]))
            proof.lost = {one.name: why for one in proof.machines}
        with self._lock:
            if self._stopped:
                return
            self._take(seat, proof)
            seat.proof = None
        self._look(seat)

    def _take(self, seat: _Seat, proof: Proof) -> None:
        """Tell what came of a round; who drifted comes again, and is proven then."""
        said = proof.said()
        drifted: dict[str, list[str]] = {}
        for one in (one for pair in said.values() for one in pair if one.outcome == "failed"):
            if self._ears.on_trial(one.machine):
                drifted.setdefault(one.machine, []).append(one.promise)
        for pair, its in said.items():
            if not pair & drifted.keys():
                seat.proven.add(pair)
                for one in its:
                    self._ears.tell(one)
        for name, why in proof.lost.items():
            self._ears.tell(lost(name, str(why), away=why.away))
            seat.gone.add(name)
            del seat.standing[name]
        for name, promises in drifted.items():
            self._ears.drifted(name, promises)
            seat.expected.add(name)
            del seat.standing[name], seat.waiting[name]
        self._release(seat, {one.name for one in proof.machines} & seat.waiting.keys())

    def _release(self, seat: _Seat, names: Iterable[str]) -> None:
        for name in names:
            self._ears.release(name)
            # Only now: until all is told of it, this is busy.
            del seat.waiting[name]
