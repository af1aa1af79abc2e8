"""Who rehearses what, and what is told where it cannot be; the rest is tried in tests/class."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from labkit.classroom import Machine
from labkit.errors import BadInput
from labkit.events import Kind
from labkit.guide.reader import read_chapter
from labkit.rehearsal import rehearsal
from labkit.rehearsal.advice import advice
from labkit.rehearsal.audience import Audience
from labkit.rehearsal.leash import Leash
from labkit.rehearsal.opening import Means
from labkit.rehearsal.outcome import NOTE, Outcome, not_tried, step_result
from labkit.rehearsal.plan import Plan, Wish, make_plan
from labkit.rehearsal.rehearsal import Rehearsal
from labkit.ssh import Connection
from labkit.verifier import CheckResult
from labkit.verify import read_result

ONE = "# One\n\n```console\n$ docker ps\nCONTAINER ID\n```\n"
THREE = "# Three\n<!-- chapter: machines=3 -->\n\n```console\n$ docker swarm init\n```\n"


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    folder = tmp_path / "guide"
    folder.mkdir()
    (folder / "01-one.md").write_text(ONE)
    (folder / "14-three.md").write_text(THREE)
    return folder


def machine(seat: str, number: int) -> Machine:
    name = f"{seat}-vm{number}"
    return Machine(name, seat, number, Connection(name), {"attendee_name": "student"})


def seat(name: str, numbers: Iterable[int] = (1, 2, 3)) -> list[Machine]:
    return [machine(name, number) for number in numbers]


def test_chapters_for_one_machine_run_on_each_and_the_others_once_per_seat(guide: Path) -> None:
    plan = make_plan(Wish(guide=guide), [*seat("a"), *seat("b")])

    assert [one.number for one in plan.alone] == ["01"]
    for name in ("a", "b"):
        ((chapter, cast),) = plan.together[name]
        assert chapter.number == "14"
        assert [one.name for one in cast] == [f"{name}-vm1", f"{name}-vm2", f"{name}-vm3"]
    assert plan.titles == {"chapter 01": "One", "chapter 14": "Three"}


@pytest.mark.parametrize("numbers", [(1,), (1, 2), (2, 3), (2, 3, 4)])
def test_a_seat_without_the_machines_that_a_chapter_speaks_of_goes_without(
    guide: Path, numbers: tuple[int, ...]
) -> None:
    plan = make_plan(Wish(guide=guide), [*seat("a", numbers), *seat("b")])

    assert [one.number for one in plan.lacking["a"]] == ["14"]
    assert not plan.together["a"]
    assert not plan.lacking["b"]


def test_a_chapter_that_was_named_may_not_be_left_out(guide: Path) -> None:
    with pytest.raises(BadInput, match="chapter 14 needs 3 machines, and a has 2 here"):
        make_plan(Wish("14", guide), seat("a", (1, 2)))


class Heard:
    """An audience that remembers."""

    def __init__(self) -> None:
        self.results = list[CheckResult]()
        self.done: list[str] = []

    def audience(self) -> Audience:
        return Audience(self.results.append, lambda *_: None, self.done.append)

    def outcomes(self) -> list[tuple[str, str, str, str]]:
        return [(one.machine, one.part, one.outcome, one.detail) for one in self.results]


def play(plan: Plan, machines: list[Machine], tmp_path: Path, *, passed: bool) -> Heard:
    heard = Heard()
    means = Means(tmp_path, {}, 5, force=False, held=Leash(0, lambda: False))
    with Rehearsal(plan, machines, means, heard.audience()) as one:
        for its in machines:
            one.checked(its.name, passed)
    assert not one.busy
    return heard


def test_a_machine_that_failed_its_checks_is_not_rehearsed(guide: Path, tmp_path: Path) -> None:
    machines = seat("a")
    heard = play(make_plan(Wish(guide=guide), machines), machines, tmp_path, passed=False)

    names = [one.name for one in machines]
    assert sorted(heard.done) == names
    assert {one[:3] for one in heard.outcomes()} == {
        (name, part, "skipped") for name in names for part in ("chapter 01", "chapter 14")
    }
    together = [one for one in heard.outcomes() if one[1] == "chapter 14"]
    assert {one[3] for one in together} == {f"not run: {', '.join(names)} cannot take part"}


def test_what_lacks_machines_is_a_note(guide: Path, tmp_path: Path) -> None:
    machines = seat("a", (1,))
    heard = play(make_plan(Wish(guide=guide), machines), machines, tmp_path, passed=False)

    assert heard.outcomes()[-1] == (
        "a-vm1",
        "chapter 14",
        "skipped",
        f"{NOTE}chapter 14 not run: needs 3 machines",
    )
    assert heard.done == ["a-vm1"]


def test_a_failure_of_labkits_own_is_told_and_keeps_nobody_waiting(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(rehearsal, "enter", fail)
    machines = seat("a")
    heard = play(make_plan(Wish("1", guide), machines), machines, tmp_path, passed=True)

    assert sorted(heard.done) == [one.name for one in machines]
    broken = [one for one in heard.results if one.outcome == "failed"]
    assert {one.detail for one in broken} == {"ZeroDivisionError: oops"}
    assert len(broken) == 3
    assert "Traceback" in broken[0].output


def test_a_step_that_failed_is_told_with_its_place_difference_and_what_to_do(guide: Path) -> None:
    chapter = read_chapter(guide / "01-one.md")
    outcome = Outcome("exit 1 instead of 0", "no\nSWMTKN-1-abc-def\n", ("- a", "+ b"), seconds=1.5)
    result = step_result(chapter, chapter.steps[0], "vm1", outcome, "student")
    event = read_result(result)

    assert (event.kind, event.part, event.step) == (Kind.FAILED, "chapter 01", "step 1: docker ps")
    (reason,) = event.reasons
    assert reason.tried == "chapter 01, step 1 (guide/01-one.md:4): docker ps"
    assert reason.answer == "exit 1 instead of 0\n- a\n+ b"
    assert reason.todo == "try it by hand on vm1 as student: it stands in guide/01-one.md:4"
    assert event.data == {"at": "guide/01-one.md:4", "output": "no\nSWMTKN-1-…"}


def test_of_a_long_output_the_end_is_told() -> None:
    answer = Outcome("exit 1 instead of 0", "\n".join(str(n) for n in range(100))).answer

    assert answer.split("\n")[:3] == ["exit 1 instead of 0", "… 88 lines before", "88"]


def test_why_a_step_was_not_tried_is_kept_and_noted_only_if_it_matters(guide: Path) -> None:
    chapter = read_chapter(guide / "01-one.md")
    quiet = read_result(not_tried(chapter, chapter.steps[0], "vm1", "not run: step 1 failed"))
    loud = read_result(not_tried(chapter, None, "vm1", "", "not run: needs 3 machines"))

    assert (quiet.kind, quiet.notes) == (Kind.SKIPPED, ())
    assert quiet.data["why"] == "not run: step 1 failed"
    assert loud.notes == ("chapter 01 not run: needs 3 machines",)


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        ("permission denied while trying to connect to the docker API at unix", "tags attendee"),
        ("dial unix /var/run/docker.sock: connect: permission denied", ""),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock", "journalctl"),
        ("write /x: no space left on device", "df -h"),
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "ss -ltnp"),
        ("docker: 'compose' is not a docker command.", "installs Compose"),
        ("Unable to find image 'x:1' locally\nlookup registry: no such host", "tags images"),
        ("Temporary failure resolving 'mirror.example'", "DNS of vm1"),
        ("no end within 60 s", "top"),
        ("something else", ""),
    ],
)
def test_what_docker_says_often_comes_with_what_to_do(answer: str, todo: str) -> None:
    said = advice(answer, "vm1")

    assert todo in said
    assert bool(todo) is bool(said)
