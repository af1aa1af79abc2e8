"""ansible-runner's events, as they come from a real run, in labkit's words."""

from typing import Any

import pytest

from labkit.events import ANSWER_LINES, Kind, read_event


def raw(event: str, res: dict[str, Any] | None = None, **about: Any) -> dict[str, Any]:
    data = {"host": "vm1", "task": "Pull the images", "role": "images", "duration": 1.5, **about}
    return {"event": event, "event_data": data | ({"res": res} if res is not None else {})}


def reasons(res: dict[str, Any]) -> list[tuple[str, str]]:
    event = read_event(raw("runner_on_failed", res))
    assert event is not None
    return [(one.tried, one.answer) for one in event.reasons]


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("runner_on_start", Kind.START),
        ("runner_on_ok", Kind.OK),
        ("runner_on_skipped", Kind.SKIPPED),
        ("runner_retry", Kind.RETRY),
        ("runner_on_failed", Kind.FAILED),
        ("runner_on_unreachable", Kind.UNREACHABLE),
    ],
)
def test_each_event_of_a_machine_has_a_kind(event: str, kind: Kind) -> None:
    told = read_event(raw(event, {}))

    assert told is not None
    assert told.kind is kind
    assert (told.machine, told.step, told.part, told.seconds) == (
        "vm1",
        "Pull the images",
        "images",
        1.5,
    )


@pytest.mark.parametrize("event", ["playbook_on_stats", "playbook_on_task_start", "verbose"])
def test_events_of_the_whole_run_are_not_shown(event: str) -> None:
    assert read_event({"event": event, "event_data": {"task": "Pull the images"}}) is None
    assert read_event({"event": event}) is None


def test_an_altered_machine_counts_as_changed() -> None:
    assert read_event(raw("runner_on_ok", {"changed": True})).kind is Kind.CHANGED


def test_an_ignored_failure_stops_nobody() -> None:
    event = read_event(raw("runner_on_failed", {"msg": "no"}, ignore_errors=True))

    assert event.kind is Kind.OK
    assert event.reasons == ()


def test_the_roles_name_is_not_repeated_in_the_step() -> None:
    assert read_event(raw("runner_on_ok", {}, task="images : Pull them")).step == "Pull them"


def test_a_failed_program_answers_with_what_it_said_on_stderr() -> None:
    res = {"msg": "non-zero return code", "rc": 1, "stderr": "disk full\n", "stdout": "working"}

    assert reasons(res) == [("Pull the images", "disk full")]


def test_a_program_that_only_said_something_on_stdout_is_quoted_too() -> None:
    res = {"msg": "non-zero return code", "stderr": "", "stdout": "cannot do it"}

    assert reasons(res)[0][1] == "cannot do it"


def test_a_module_that_crashed_shows_its_own_words() -> None:
    res = {"msg": "MODULE FAILURE: No start of json", "module_stderr": "KeyError: 'x'"}

    assert reasons(res)[0][1] == "KeyError: 'x'"


def test_a_modules_message_comes_before_what_a_program_said() -> None:
    res = {"msg": "apt-get failed", "stderr": "E: no such package"}

    assert reasons(res)[0][1] == "apt-get failed\nE: no such package"


def test_a_loop_is_told_by_the_items_that_failed() -> None:
    res = {
        "msg": "One or more items failed",
        "results": [
            {"item": "a", "failed": False},
            {"item": {"long": "b"}, "_ansible_item_label": "b", "failed": True, "msg": "no b"},
            {"item": "c", "unreachable": True, "msg": "no c"},
        ],
    }

    assert reasons(res) == [("Pull the images (b)", "no b"), ("Pull the images (c)", "no c")]


def test_all_problems_of_an_own_module_are_told_at_once() -> None:
    problems = [{"what": "no disk", "todo": "buy one"}, {"what": "no DNS"}]
    event = read_event(raw("runner_on_failed", {"msg": "two", "problems": problems}))

    assert [(one.answer, one.todo) for one in event.reasons] == [
        ("no disk", "buy one"),
        ("no DNS", ""),
    ]


def test_a_long_answer_keeps_its_end() -> None:
    lines = [f"line {number}" for number in range(100)]
    answer = reasons({"msg": "non-zero return code", "stderr": "\n".join(lines)})[0][1]

    assert answer.splitlines() == lines[-ANSWER_LINES:]


@pytest.mark.parametrize("res", [{}, {"msg": ""}, {"msg": "non-zero return code", "stderr": ""}])
def test_a_failure_never_has_an_empty_reason(res: dict[str, Any]) -> None:
    assert reasons(res)[0][1]


def test_a_failure_without_a_result_still_fails() -> None:
    event = read_event(raw("runner_on_failed"))

    assert event.kind is Kind.FAILED
    assert len(event.reasons) == 1


def test_only_what_labkit_itself_uses_is_kept_of_a_result() -> None:
    lock = {"key": "debian-13-distribution", "packages": {"docker.io": "1"}}
    event = read_event(raw("runner_on_ok", {"lock": lock, "identity": {}, "invocation": "secret"}))

    assert event.data == {"lock": lock}


def test_notes_reach_the_instructor() -> None:
    event = read_event(raw("runner_on_ok", {"notes": ["no routing mesh on these machines"]}))

    assert event.notes == ("no routing mesh on these machines",)
