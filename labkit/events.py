"""What happens on a machine during a run, in labkit's own words."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

# Lines of a machine's answer that are shown; the whole of it is in the record.
ANSWER_LINES = 12
# How a check's detail begins that the instructor should hear although nothing is wrong.
NOTE = "note: "
# In a check's note: nothing is wrong, but running the roles once more would do the machine good.
AGAIN = "provision again"


class Kind(StrEnum):
    """What became of one step on one machine."""

    START = "start"
    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    RETRY = "retry"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a machine is not ready: what was tried, what it answered, what to do."""

    tried: str
    answer: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One thing that happened on one machine.

    `step` is a task's name or a check's promise, `part` the role or "checks" it belongs
    to, `notes` what the instructor should know although nothing is wrong, `data` the few
    results that labkit itself uses (`lock`, `identity`).
    """

    kind: Kind
    machine: str
    step: str
    part: str = ""
    seconds: float = 0.0
    reasons: tuple[Reason, ...] = ()
    notes: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


KINDS = {
    "runner_on_start": Kind.START,
    "runner_on_ok": Kind.OK,
    "runner_on_skipped": Kind.SKIPPED,
    "runner_on_failed": Kind.FAILED,
    "runner_on_unreachable": Kind.UNREACHABLE,
    "runner_retry": Kind.RETRY,
}


def read_event(raw: Mapping[str, Any]) -> Event | None:
    """
    Translate one raw event of ansible-runner, or return None for one that is not shown.

    A task that ended "ok" but altered the machine counts as CHANGED. A failure that the
    play chose to ignore counts as OK: it stops nobody.
    """
    kind = KINDS.get(str(raw.get("event")))
    about = raw.get("event_data", {})
    if kind is None or "host" not in about:
        return None
    result = about.get("res") or {}
    if kind is Kind.FAILED and about.get("ignore_errors"):
        kind = Kind.OK
    if kind is Kind.OK and result.get("changed"):
        kind = Kind.CHANGED
    step = str(about.get("task", ""))
    troubled = kind in {Kind.FAILED, Kind.UNREACHABLE}
    return Event(
        kind=kind,
        machine=str(about["host"]),
        step=step.rsplit(" : ", maxsplit=1)[-1],
        part=str(about.get("role") or ""),
        seconds=float(about.get("duration") or 0),
        reasons=tuple(read_reasons(step, result)) if troubled else (),
        notes=tuple(str(note) for note in result.get("notes", ())),
        data={key: result[key] for key in ("lock", "identity") if result.get(key)},
    )


def read_reasons(step: str, result: Mapping[str, Any]) -> Iterator[Reason]:
    """
    Yield why a task failed, from its result.

    labkit's own modules list `problems` (`what`, `todo`), all of them at once. Of any other
    module the answer is what the program said on stderr; "non-zero return code" is
    no answer. A loop is told by the items that failed.
    """
    if problems := result.get("problems"):
        for problem in problems:
            yield Reason(step, str(problem["what"]), str(problem.get("todo", "")))
        return
    failed = [
        item
        for item in result.get("results", ())
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable"))
    ]
    for item in failed:
        label = item.get("_ansible_item_label", item.get("item", ""))
        yield Reason(f"{step} ({label})", _answer(item))
    if not failed:
        yield Reason(step, _answer(result))


def _answer(result: Mapping[str, Any]) -> str:
    message = re.sub(r"^(Task failed: )?(Module failed: )?", "", str(result.get("msg") or ""))
    spoken = [
        str(result.get(stream) or "").strip()
        for stream in ("stderr", "module_stderr", "stdout", "module_stdout")
    ]
    said = next((text for text in spoken if text), "")
    useless = ("non-zero return code", "MODULE FAILURE", "")
    text = said if (said and message.startswith(useless[:2])) or not message else message
    if said and text is message and said not in message:
        text = f"{message}\n{said}"
    return "\n".join(text.strip().splitlines()[-ANSWER_LINES:]) or "no answer at all"
