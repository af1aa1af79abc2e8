"""The rehearsal of a class: seats side by side, on each machine one chapter after the other."""

import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Self

from labkit.classroom import Machine
from labkit.guide.model import Chapter
from labkit.rehearsal.audience import Audience
from labkit.rehearsal.opening import Means, enter, leave
from labkit.rehearsal.outcome import NOT_RUN, not_tried
from labkit.rehearsal.performance import Performance
from labkit.rehearsal.plan import Plan, needs
from labkit.rehearsal.reach import Reach
from labkit.rehearsal.terminal import Stopped
from labkit.verdicts import REHEARSAL
from labkit.verifier import CheckResult

TO_THE_END = "the rehearsal runs to its end"


@dataclass(slots=True)
class _Seat:
    """The machines of a seat, how many are still on their own, and those that stand ready."""

    machines: list[Machine] = field(default_factory=list)
    alone: int = 0
    ready: dict[str, Reach] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Rehearsal:
    """
    Carries the plan out on each machine, from when it was `checked`.

    A seat's common chapters begin when none of its machines is on its own any more. Once
    the run is to stop, what goes on is broken off and the machines are put back; `busy` tells
    how long that takes.
    """

    def __init__(
        self, plan: Plan, machines: Iterable[Machine], means: Means, audience: Audience
    ) -> None:
        self._plan, self._means, self._audience = plan, means, audience
        self._machines = {one.name: one for one in machines}
        self._seats: dict[str, _Seat] = {}
        for one in self._machines.values():
            seat = self._seats.setdefault(one.seat, _Seat())
            seat.machines.append(one)
            seat.alone += 1
        self._pool = ThreadPoolExecutor(means.forks)
        self._jobs: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if any(error):
            # Whoever waits for an answer gets none any more.
            for reach in [one for seat in self._seats.values() for one in seat.ready.values()]:
                reach.close()
        self._pool.shutdown(cancel_futures=any(error))

    @property
    def busy(self) -> bool:
        """Whether a machine that was checked still has something before it."""
        return any(not job.done() for job in self._jobs)

    def checked(self, machine: str, passed: bool) -> None:  # noqa: FBT001 - what the checks call
        """Have a machine rehearsed, or, where it did not pass its checks, told why not."""
        if not self._means.held.stopped():
            self._jobs.append(self._pool.submit(self._take, self._machines[machine], passed))

    def _take(self, machine: Machine, passed: bool) -> None:  # noqa: FBT001 - submit passes it on
        seat = self._seats[machine.seat]
        self._guarded(partial(self._alone, machine, passed=passed), [machine])
        with seat.lock:
            seat.alone -= 1
            last = not seat.alone
        if not self._plan.together[machine.seat]:
            self._finish([machine])
        elif last:
            self._guarded(partial(self._together, seat), seat.machines)
            self._finish(seat.machines)

    def _finish(self, machines: Sequence[Machine]) -> None:
        for one in machines:
            if reach := self._seats[one.seat].ready.get(one.name):
                self._guarded(partial(leave, reach, self._audience.tell), [one])
            if not self._means.held.stopped():
                self._audience.done(one.name)

    def _alone(self, machine: Machine, *, passed: bool) -> None:
        if self._means.held.stopped():
            raise Stopped
        reach = enter(machine, self._means, self._audience.tell) if passed else None
        if reach:
            self._seats[machine.seat].ready[machine.name] = reach
        for chapter in self._plan.alone:
            self._play(chapter, [machine])
        for chapter in self._plan.lacking[machine.seat]:
            why = f"{NOT_RUN}: {needs(chapter)}"
            self._audience.tell(not_tried(chapter, None, machine.name, why, why))

    def _together(self, seat: _Seat) -> None:
        for chapter, cast in self._plan.together[seat.machines[0].seat]:
            self._play(chapter, cast)

    def _play(self, chapter: Chapter, machines: Sequence[Machine]) -> None:
        if self._means.held.stopped():
            raise Stopped
        ready = self._seats[machines[0].seat].ready
        cast = [ready[one.name] for one in machines if one.name in ready]
        fit = [one.name for one in cast if not one.lost]
        unfit = [one.name for one in machines if one.name not in fit]
        if unfit:
            for one in machines:
                why = f"{NOT_RUN}: {', '.join(unfit)} cannot take part"
                self._audience.tell(not_tried(chapter, None, one.name, why))
            return
        performance = Performance(chapter, cast, self._audience)
        try:
            performance.run()
        finally:
            performance.put_back()

    def _guarded(self, do: Callable[[], None], machines: Sequence[Machine]) -> None:
        """Do it; a failure of labkit's own becomes a result of each machine, never silence."""
        try:
            do()
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - a thread's death would be seen by nobody
            if self._means.held.stopped():
                return
            for one in machines:
                self._audience.tell(_broken(one.name, error))


def _broken(machine: str, error: BaseException) -> CheckResult:
    return CheckResult(
        machine,
        REHEARSAL,
        TO_THE_END,
        "failed",
        detail=f"{type(error).__name__}: {error}",
        todo="run again; if it stays, report it as a bug of labkit's",
        part=REHEARSAL,
        output="".join(traceback.format_exception(error)),
    )
