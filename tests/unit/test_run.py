"""Events of many machines become one verdict for each, in one thread, whatever happens."""

import io
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.classroom import Class, Machine
from labkit.display import Json
from labkit.errors import BadInput
from labkit.events import Event, Kind, Reason
from labkit.record import Record
from labkit.run import Checked, Run, choose, interruptible
from labkit.runner import Stop
from labkit.ssh import Connection
from labkit.verdicts import CHECKS, State

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
WHY = Reason("Pull the images", "no route")


def machine(name: str, port: int | None = None) -> Machine:
    return Machine(name, "seat01", 1, Connection(f"{name}.example", port), {})


def step(name: str, kind: Kind = Kind.OK, part: str = "images", **more: Any) -> Event:
    return Event(kind, name, "Pull the images", part, **more)


class Scene:
    """A run over vm1 and vm2 with a real record, shown as JSON."""

    def __init__(self, directory: Path, record: Record) -> None:
        self.known_hosts = directory / "known_hosts"
        self.shown = io.StringIO()
        self.record = record
        self.run = self.again()

    def again(self) -> Run:
        both = [machine("vm1"), machine("vm2", 2222)]
        return Run(both, self.known_hosts, self.record, Json(self.shown))

    def take(self, *items: Event | Checked) -> None:
        for item in items:
            self.run.put(item)
        self.run.follow(lambda: False)

    def states(self) -> list[State]:
        return [one.state for one in self.run.verdicts]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr("labkit.run.TICK_SECONDS", 0.01)
    with Record(tmp_path, "verify") as record:
        yield Scene(tmp_path, record)


def test_verdicts_stand_in_the_inventorys_order_whoever_comes_first(scene: Scene) -> None:
    scene.take(step("vm2", part=CHECKS), Checked("vm2"), step("vm1", part=CHECKS), Checked("vm1"))

    assert [one.machine for one in scene.run.close(interrupted=False)] == ["vm1", "vm2"]
    assert scene.states() == [State.READY, State.READY]


def test_it_follows_as_long_as_anybody_is_busy(scene: Scene) -> None:
    late = threading.Timer(0.05, scene.run.put, [step("vm1")])
    late.start()
    scene.run.follow(late.is_alive)

    assert scene.run.progress["vm1"].steps == 1


def test_what_comes_with_the_last_breath_is_taken(scene: Scene) -> None:
    def busy() -> bool:
        if not scene.run.events:
            for _ in range(3):
                scene.run.put(step("vm1"))
        return False

    scene.run.follow(busy)
    assert scene.run.progress["vm1"].steps >= 3


def test_an_event_of_a_machine_that_was_not_chosen_is_nobodys(scene: Scene) -> None:
    scene.take(step("depot", Kind.FAILED, reasons=(WHY,)))

    assert scene.run.events == []
    assert scene.shown.getvalue() == ""


def test_each_event_is_shown_and_written_down(scene: Scene) -> None:
    scene.take(step("vm1", Kind.CHANGED))
    scene.record.__exit__(None, None, None)

    first = json.loads(scene.shown.getvalue().splitlines()[0])
    assert (first["type"], first["kind"], first["machine"]) == ("event", "changed", "vm1")
    written = json.loads((scene.record.run / "events.jsonl").read_text().splitlines()[0])
    assert (written["kind"], written["machine"]) == ("changed", "vm1")


def test_a_reason_is_shown_with_what_to_do_about_it(scene: Scene) -> None:
    full = Reason("Pull the images", "No space left on device")
    scene.take(step("vm1", Kind.FAILED, reasons=(full,)))

    assert "disk" in scene.run.progress["vm1"].reasons[0].todo


def test_who_looks_on_is_told_each_event_after_it_was_taken(scene: Scene) -> None:
    told = []
    scene.run.put(step("vm1"))
    scene.run.follow(
        lambda: False, lambda one: told.append((one.machine, scene.run.progress["vm1"].steps))
    )

    assert told == [("vm1", 1)]


def test_only_what_became_of_a_step_is_kept(scene: Scene) -> None:
    scene.take(step("vm1", Kind.START), step("vm1", Kind.NOTE), step("vm1", Kind.OK))

    assert [one.kind for one in scene.run.events] == [Kind.OK]


def test_whoever_has_no_verdict_in_the_end_is_not_ready_and_hears_why(scene: Scene) -> None:
    scene.take(step("vm1", part=CHECKS), Checked("vm1"), step("vm2"))
    first, second = scene.run.close(interrupted=False)

    assert (first.state, first.reasons) == (State.READY, [])
    assert second.state is State.NOT_READY
    assert "before this machine was done" in second.reasons[0].answer


def test_after_an_interrupt_what_was_finished_stays_and_the_rest_is_interrupted(
    scene: Scene,
) -> None:
    scene.take(step("vm1", part=CHECKS), Checked("vm1"), step("vm2"))
    scene.run.close(interrupted=True)

    assert scene.states() == [State.READY, State.INTERRUPTED]
    assert scene.run.progress["vm2"].reasons == []


def test_a_verdict_that_was_fixed_stays(scene: Scene) -> None:
    scene.run.end("vm1", State.DRY_RUN)
    scene.run.close(interrupted=False)

    assert scene.states() == [State.DRY_RUN, State.NOT_READY]


def test_clones_are_not_ready_although_all_their_checks_passed(scene: Scene) -> None:
    for name in ("vm1", "vm2"):
        identity = {"identity": {"machine_id": "aa", "hostname": name}}
        scene.take(step(name, part=CHECKS), step(name, Kind.NOTE, data=identity), Checked(name))
    assert scene.states() == [State.READY, State.READY]
    scene.run.close(interrupted=False)

    assert scene.states() == [State.NOT_READY, State.NOT_READY]
    assert "vm2" in scene.run.progress["vm1"].reasons[0].answer


def test_the_record_says_what_the_screen_says(scene: Scene) -> None:
    scene.take(step("vm1", Kind.UNREACHABLE, reasons=(WHY,)))
    scene.run.close(interrupted=False)

    kept = json.loads((scene.record.run / "verdicts.json").read_text())
    shown = [json.loads(line) for line in scene.shown.getvalue().splitlines()[-2:]]
    assert {one["machine"]: one["state"] for one in shown} == {
        "vm1": "unreachable",
        "vm2": "not ready",
    }
    assert {name: one["state"] for name, one in kept.items()} == {
        "vm1": "unreachable",
        "vm2": "not ready",
    }


def test_a_first_contact_shows_the_key_once(scene: Scene) -> None:
    scene.known_hosts.write_text(f"vm1.example {KEY}\n")
    scene.take(step("vm1"), step("vm1"))

    (note,) = scene.run.progress["vm1"].notes
    assert "SHA256:" in note
    assert scene.shown.getvalue().count(note) == 1


def test_a_first_contact_is_noticed_when_the_key_comes_late(scene: Scene) -> None:
    scene.take(step("vm2"))
    assert scene.run.progress["vm2"].notes == []
    scene.known_hosts.write_text(f"[vm2.example]:2222 {KEY}\n")
    scene.take(step("vm2"))

    assert len(scene.run.progress["vm2"].notes) == 1


def test_a_machine_met_in_an_earlier_run_is_no_first_contact(scene: Scene) -> None:
    scene.known_hosts.write_text(f"vm1.example {KEY}\n")
    scene.run = scene.again()
    scene.take(step("vm1"))

    assert scene.run.progress["vm1"].notes == []


def test_another_machines_key_is_not_this_ones(scene: Scene) -> None:
    scene.known_hosts.write_text(f"vm1.example {KEY}\nvm2.example {KEY}\n")
    scene.take(step("vm2"))

    assert scene.run.progress["vm2"].notes == []


@pytest.mark.parametrize("kind", [Kind.START, Kind.UNREACHABLE])
def test_a_machine_that_did_not_answer_is_no_contact(kind: Kind, scene: Scene) -> None:
    scene.known_hosts.write_text(f"vm1.example {KEY}\n")
    scene.take(step("vm1", kind))

    assert scene.run.progress["vm1"].notes == []


def test_a_comment_in_another_encoding_does_not_end_the_run(scene: Scene) -> None:
    scene.known_hosts.write_bytes(f"vm1.example {KEY} Büro\n".encode("latin-1"))
    scene.take(step("vm1"))

    assert len(scene.run.progress["vm1"].notes) == 1


def known(directory: Path, *chosen: str) -> Class:
    machines = tuple(machine(f"vm{number}") for number in (1, 2, 3))
    return Class(directory, machines, chosen, {}, (), {})


def test_a_limit_keeps_the_inventorys_order(tmp_path: Path) -> None:
    chosen = choose(known(tmp_path, "vm3", "vm1"), retry_failed=False)

    assert [one.name for one in chosen] == ["vm1", "vm3"]


def test_a_limit_that_leaves_nobody_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no machine"):
        choose(known(tmp_path), retry_failed=True)


def test_a_retry_leaves_out_who_is_ready_and_stays_in_the_limit(tmp_path: Path) -> None:
    verdicts = {"vm1": {"state": "ready"}, "vm2": {"state": "not ready"}}
    (tmp_path / ".labkit").mkdir()
    (tmp_path / ".labkit" / "verdicts.json").write_text(json.dumps(verdicts))

    for limit, left in [(("vm1", "vm2", "vm3"), ["vm2", "vm3"]), (("vm1",), [])]:
        chosen = choose(known(tmp_path, *limit), retry_failed=True)
        assert [one.name for one in chosen] == left


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_asks_to_stop_and_a_second_one_is_taken_at_once(number: int) -> None:
    stop = Stop()

    with interruptible(stop):
        os.kill(os.getpid(), number)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_outside_a_run_signals_mean_what_they_meant_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible(Stop()):
        assert signal.getsignal(signal.SIGTERM) not in before

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
