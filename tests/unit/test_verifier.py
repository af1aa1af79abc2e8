"""Whatever becomes of the checking process, every machine that was submitted gets an answer."""

import os
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from labkit.errors import LabkitError
from labkit.ssh import Connection
from labkit.verifier import CheckResult, Finished, Verifier, junit

Said = list[CheckResult | Finished]
Start = Callable[..., tuple[Verifier, Said]]

SOON = 5.0


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start a verifier, whose process is a script of ours if one is given."""
    started: list[Verifier] = []

    def start(script: str | None = None) -> tuple[Verifier, Said]:
        if script is not None:
            program = tmp_path / "program"
            program.write_text(f"#!/bin/sh\n{script}\n")
            program.chmod(0o700)
            monkeypatch.setattr(sys, "executable", str(program))
        said: Said = []
        started.append(Verifier(tmp_path, 2, said.append))
        return started[-1], said

    yield start
    for verifier in started:
        verifier.stop()


def wait(verifier: Verifier) -> None:
    end = time.monotonic() + SOON
    while verifier.busy and time.monotonic() < end:
        time.sleep(0.01)
    assert not verifier.busy


def gone(process: int) -> bool:
    end = time.monotonic() + SOON
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.01)
    return not Path(f"/proc/{process}").exists()


def test_a_machine_that_refuses_is_told_as_unreachable_by_the_real_process(
    start: Start, tmp_path: Path
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'Connection refused' >&2\nexit 255\n")
    ssh.chmod(0o700)
    verifier, said = start()
    connection = asdict(Connection("vm1", ssh=str(ssh)))
    verifier.submit({"name": "vm1", "seat": "a", "number": 1, "connection": connection})
    assert verifier.busy
    wait(verifier)

    result, finished = said
    assert isinstance(result, CheckResult)
    assert (result.machine, result.outcome, result.seen) == (
        "vm1",
        "unreachable",
        "Connection refused",
    )
    assert isinstance(finished, Finished)


def test_a_machine_is_not_finished_before_the_process_says_so(start: Start) -> None:
    line = '{"machine": "vm1", "check": "c", "promise": "p", "outcome": "passed", "new": 1}'
    verifier, said = start(f"read machine; echo '{line}'; exec sleep 30")
    verifier.submit({"name": "vm1"})
    end = time.monotonic() + SOON
    while not said and time.monotonic() < end:
        time.sleep(0.01)

    assert said == [CheckResult("vm1", "c", "p", "passed")]
    assert verifier.busy


def test_machines_that_a_dead_process_leaves_behind_are_told_as_failed(start: Start) -> None:
    verifier, said = start("read machine; read machine; echo 'out of memory' >&2; exit 1")
    for name in ("vm2", "vm1"):
        verifier.submit({"name": name})
    wait(verifier)

    results = [one for one in said if isinstance(one, CheckResult)]
    assert [(one.machine, one.outcome) for one in results] == [("vm1", "failed"), ("vm2", "failed")]
    assert {one.seen for one in results} == {"out of memory"}
    assert [one.machine for one in said if isinstance(one, Finished)] == ["vm1", "vm2"]


def test_a_machine_that_was_finished_is_not_lost_with_the_process(start: Start) -> None:
    line = '{"machine": "vm1", "finished": true, "seconds": 1.5, "identity": {"hostname": "a"}}'
    verifier, said = start(f"read machine; echo '{line}'")
    verifier.submit({"name": "vm1"})
    wait(verifier)

    assert said == [Finished("vm1", 1.5, {"hostname": "a"})]


@pytest.mark.parametrize("word", ['{"machine": "vm1", "che', "Segmentation fault\\n"])
def test_a_process_that_dies_in_the_middle_of_a_word_keeps_nobody_waiting(
    word: str, start: Start
) -> None:
    verifier, said = start(f"read machine; printf '{word}'")
    verifier.submit({"name": "vm1"})
    wait(verifier)

    assert [type(one) for one in said] == [CheckResult, Finished]


def test_last_words_that_are_no_text_are_told_all_the_same(start: Start) -> None:
    verifier, said = start("read machine; printf 'b\\374ro\\n' >&2; exit 1")
    verifier.submit({"name": "vm1"})
    wait(verifier)

    assert isinstance(said[0], CheckResult)
    assert said[0].seen == "b\ufffdro"


def test_a_process_that_is_gone_is_told_to_who_submits(start: Start) -> None:
    verifier, _ = start("echo 'no module named labkit' >&2")
    verifier._process.wait(SOON)  # noqa: SLF001 - there is nothing else to wait for

    with pytest.raises(LabkitError) as error:
        verifier.submit({"name": "vm1"})
    assert error.value.hint == "no module named labkit"


@pytest.mark.parametrize("script", ["exec sleep 30", "trap '' TERM; while :; do sleep 30; done"])
def test_it_stops_at_once_even_if_the_process_would_not(script: str, start: Start) -> None:
    verifier, _ = start(script)
    process = verifier._process.pid  # noqa: SLF001 - nobody else knows it
    before = time.monotonic()
    verifier.stop()

    assert gone(process)
    assert time.monotonic() - before < 4


def test_leaving_it_stops_the_process(start: Start) -> None:
    verifier, _ = start("exec sleep 30")
    with verifier:
        process = verifier._process.pid  # noqa: SLF001 - nobody else knows it
        assert os.getpgid(process) != os.getpgid(0)

    assert gone(process)


FAILED = CheckResult(
    "vm1",
    "test_a.py::b",
    "docker answers",
    "failed",
    1.5,
    expected="version 28",
    seen="nothing <at> all",
    todo="run: labkit provision",
)


def suites(tmp_path: Path, *results: CheckResult) -> dict[str, ET.Element]:
    junit(results, tmp_path / "report.xml")
    root = ET.parse(tmp_path / "report.xml").getroot()
    return {str(suite.get("name")): suite for suite in root}


def test_a_report_counts_each_machine_for_itself(tmp_path: Path) -> None:
    two = [CheckResult("vm2", "c", "p", outcome, 0.25) for outcome in ("unreachable", "skipped")]
    passed = CheckResult("vm1", "c", "p", "passed", 0.5)
    found = suites(tmp_path, FAILED, two[0], passed, two[1])

    def counts(name: str) -> list[str | None]:
        return [found[name].get(one) for one in ("tests", "failures", "skipped", "time")]

    assert counts("vm1") == ["2", "1", "0", "2.000"]
    assert counts("vm2") == ["2", "1", "1", "0.500"]


def test_a_reported_failure_says_what_was_expected_seen_and_is_to_do(tmp_path: Path) -> None:
    case = suites(tmp_path, FAILED)["vm1"][0]
    failure = case.find("failure")

    assert (case.get("name"), case.get("classname")) == ("docker answers", "vm1")
    assert failure is not None
    assert failure.text is not None
    assert failure.text.split("\n") == [
        "expected version 28",
        "saw nothing <at> all",
        "→ run: labkit provision",
    ]


def test_a_report_tells_why_a_check_was_skipped(tmp_path: Path) -> None:
    skipped = CheckResult("vm1", "c", "p", "skipped", detail="no mesh")
    case = suites(tmp_path, skipped)["vm1"][0]

    assert [(one.tag, one.get("message")) for one in case] == [("skipped", "no mesh")]


def test_a_report_can_be_read_whatever_a_machine_printed(tmp_path: Path) -> None:
    seen = "\x1b[31mE: \x00 \ud800 \ufffe grün\x1b[0m\n"
    result = CheckResult("vm1", "c", "p\x07", "failed", seen=seen, detail=seen)
    failure = suites(tmp_path, result)["vm1"][0].find("failure")

    assert failure is not None
    assert "grün" in str(failure.text)


def test_a_step_of_a_chapter_is_a_case_of_that_chapter(tmp_path: Path) -> None:
    detail = "exit 1 instead of 0\n- one\n+ two"
    step = CheckResult(
        *("vm1", "guide/05-a.md:7", "step 2: docker ps", "failed"),
        todo="look",
        detail=detail,
        part="chapter 05",
    )
    case = suites(tmp_path, step)["vm1"][0]
    failure = case.find("failure")

    assert (case.get("name"), case.get("classname")) == ("step 2: docker ps", "vm1.chapter 05")
    assert failure is not None
    assert failure.get("message") == "exit 1 instead of 0"
    assert failure.text == f"guide/05-a.md:7\n{detail}\n→ look"
