"""Runs jobs side by side, each as soon as those that it waits for have ended well."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from threading import Semaphore, Thread


@dataclass(frozen=True)
class Job:
    """One piece of work, and the names of the jobs that must be done before it."""

    work: Callable[[], None]
    after: Sequence[str] = ()


def run(jobs: Mapping[str, Job]) -> None:
    """
    Do all the jobs; when none is left to do, raise what the first failed one raised.

    A job is not begun when one before it failed. Ctrl-C comes through at once: the threads are
    daemons, so that nobody waits for a build that nobody wants any more.
    """
    done: dict[str, Future[None]] = {name: Future() for name in jobs}
    # One more than there are cores, since much of the work is waiting for a download.
    places = Semaphore((os.cpu_count() or 1) + 1)

    def attend(name: str) -> None:
        try:
            for earlier in jobs[name].after:
                done[earlier].result()
            with places:
                jobs[name].work()
        except BaseException as error:  # noqa: BLE001 - raised again, where all ends
            done[name].set_exception(error)
        else:
            done[name].set_result(None)

    for name in jobs:
        Thread(target=attend, args=(name,), name=name, daemon=True).start()
    wait(done.values())
    for future in done.values():
        future.result()
