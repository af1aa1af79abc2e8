"""Jobs run side by side, each behind those it waits for; and a box's labkits take turns."""

import time
from contextlib import ExitStack
from threading import Barrier, Thread
from uuid import uuid4

import pytest

from labkit.errors import ControllerError
from labkit.sandbox import abreast, turn
from labkit.sandbox.abreast import Job


def test_jobs_that_need_nothing_of_each_other_run_at_once() -> None:
    # Each comes on only when both are there.
    meeting = Barrier(2, timeout=10)

    abreast.run({"one": Job(lambda: met(meeting)), "other": Job(lambda: met(meeting))})


def met(meeting: Barrier) -> None:
    meeting.wait()


def test_a_job_begins_when_those_before_it_are_done() -> None:
    done: list[str] = []

    def work(name: str) -> Job:
        def do() -> None:
            time.sleep(0.02)
            done.append(name)

        return Job(do, before[name])

    before = {"roof": ["walls"], "walls": ["ground"], "ground": []}
    abreast.run({name: work(name) for name in before})

    assert done == ["ground", "walls", "roof"]


def test_what_failed_is_told_after_the_others_are_done_and_stops_what_waits_for_it() -> None:
    done: list[str] = []

    def fail() -> None:
        raise ControllerError("no ground")

    def late() -> None:
        time.sleep(0.05)
        done.append("garden")

    with pytest.raises(ControllerError, match="no ground"):
        abreast.run(
            {
                "walls": Job(lambda: done.append("walls"), ["ground"]),
                "ground": Job(fail),
                "garden": Job(late),
            }
        )
    assert done == ["garden"]


def test_only_one_at_a_time_has_the_turn_and_the_others_say_that_they_wait() -> None:
    what, said, order = f"test-{uuid4()}", [], []

    def second() -> None:
        with turn.taken(what, lambda: said.append("waiting")):
            order.append("second")

    with ExitStack() as first:
        first.enter_context(turn.taken(what, lambda: said.append("nobody was there")))
        other = Thread(target=second)
        other.start()
        time.sleep(0.5)
        order.append("first")
    other.join(10)

    assert order == ["first", "second"]
    assert said == ["waiting"]
