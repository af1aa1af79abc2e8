"""How a machine is opened to the rehearsal, and left again."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.checks.line import NoAnswer, NoRoot, Unreachable
from labkit.classroom import Machine
from labkit.rehearsal.leash import Leash
from labkit.rehearsal.outcome import NOTE
from labkit.rehearsal.reach import NotKept, Reach
from labkit.verdicts import REHEARSAL
from labkit.verifier import CheckResult

FREE = "nobody works on the machine"
KEPT = "what is on the machine can be kept"
TIDY = "nothing of the rehearsal stays on the machine"
UNDONE = "an earlier rehearsal, which was cut off, is undone"

Tell = Callable[[CheckResult], None]


@dataclass(frozen=True, slots=True)
class Means:
    """
    What the rehearsal works with: a private folder, and the attendees' passwords by seat.

    `forks` is how many machines are worked on at once; `force` goes on where somebody works.
    """

    directory: Path
    passwords: Mapping[str, str]
    forks: int
    force: bool
    held: Leash


def enter(machine: Machine, means: Means, tell: Tell) -> Reach | None:
    """
    Return the machine, what it holds being noted, or None having told why it may not be touched.

    An earlier rehearsal that was cut off is undone first.
    """
    reach = Reach(machine, means.passwords.get(machine.seat), means.directory, means.held)
    try:
        reach.open()
        said = reach.keep("begin", attendee=reach.attendee, force=means.force)
    except Unreachable as gone:
        tell(_result(reach, KEPT, "unreachable", seen=str(gone)))
    except (NoRoot, NotKept, NoAnswer) as error:
        tell(_result(reach, KEPT, "failed", detail=str(error)))
    else:
        if _free(reach, said, tell):
            return reach
    reach.close()
    return None


def leave(reach: Reach, tell: Tell) -> None:
    """Take away what was noted on the machine, unless it is still needed to put it back."""
    try:
        if not reach.lost:
            reach.keep("end")
    except Unreachable as gone:
        tell(_result(reach, TIDY, "unreachable", seen=str(gone)))
    except (NotKept, NoAnswer) as error:
        tell(_result(reach, TIDY, "failed", detail=str(error)))
    finally:
        with suppress(OSError):
            reach.close()


def _free(reach: Reach, said: Mapping[str, Any], tell: Tell) -> bool:
    earlier = said["earlier"]
    if earlier.get("lost"):
        tell(
            _result(reach, UNDONE, "failed", detail="\n".join(["not put back:", *earlier["lost"]]))
        )
    elif earlier.get("left"):
        put_back = f"{NOTE}{UNDONE}: {', '.join(earlier['left'])}"
        tell(_result(reach, UNDONE, "passed", detail=put_back))
    if said["busy"]:
        todo = "wait until nobody works there, or rehearse all the same with --force"
        tell(_result(reach, FREE, "failed", detail="; ".join(said["busy"]), todo=todo))
    reach.mesh = said.get("mesh", False)
    return not said["busy"]


def _result(reach: Reach, promise: str, outcome: str, **more: Any) -> CheckResult:
    return CheckResult(reach.name, REHEARSAL, promise, outcome, part=REHEARSAL, **more)
