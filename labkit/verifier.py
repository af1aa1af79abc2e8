"""labkit's side of the checking process: machines go in, results come out as they are known."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from labkit.errors import LabkitError
from labkit.verdicts import CHECKS, UNCHECKED


@dataclass(frozen=True, slots=True)
class CheckResult:
    """
    One promise tried on one machine; `outcome` is passed, failed, skipped or unreachable.

    `detail` is what pytest said more, or why a check was skipped; `seconds` of wall time.
    Of a step in a chapter, whose `part` names it, `check` is where it stands in the guide,
    `detail` how it differed from what is expected, and `output` what it printed.
    """

    machine: str
    check: str
    promise: str
    outcome: str
    seconds: float = 0.0
    expected: str = ""
    seen: str = ""
    todo: str = ""
    detail: str = ""
    part: str = CHECKS
    output: str = ""

    @property
    def answer(self) -> str:
        """What came instead of what was promised."""
        if self.part == CHECKS:
            return f"expected {self.expected}; saw {self.seen}"
        return self.detail


@dataclass(frozen=True, slots=True)
class Finished:
    """A machine's checks are over; `identity` is what must be that machine's alone."""

    machine: str
    seconds: float
    identity: Mapping[str, str] = field(default_factory=dict)


NAMES = {one.name for one in fields(CheckResult)}
# What XML cannot say, not even escaped: https://www.w3.org/TR/xml/#charsets
UNSPEAKABLE = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Verifier:
    """
    The checking process, started at once so that its imports are paid while others work.

    `tell` is called from a thread of its own. A machine that was submitted and not
    finished when the process ends is told as failed: never silence.
    """

    def __init__(
        self,
        directory: Path,
        forks: int,
        tell: Callable[[CheckResult | Finished], None],
    ) -> None:
        self._tell = tell
        self._waiting: set[str] = set()
        self._log = (directory / "checks.log").open("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "labkit.checks"),
                *("--directory", str(directory), "--forks", str(forks)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            # Ctrl-C is labkit's to handle: it tells this process when to stop.
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def busy(self) -> bool:
        """Whether a machine that was submitted is not finished yet."""
        return bool(self._waiting)

    def submit(self, machine: Mapping[str, Any]) -> None:
        """
        Have a machine checked; see `labkit.checks.machine` for what describes one.

        Raises:
            LabkitError: The checking process is gone.
        """
        assert self._process.stdin  # noqa: S101 - it was asked for above
        self._waiting.add(machine["name"])
        try:
            self._process.stdin.write(json.dumps(machine) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise LabkitError("the checking process has ended", self._last_words()) from None

    def stop(self) -> None:
        """End the process with all that it started."""
        with suppress(OSError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join(timeout=2)
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with suppress(OSError):
                stream.close() if stream else None

    def _read(self) -> None:
        for line in self._process.stdout or ():
            try:
                said = json.loads(line)
            except ValueError:  # a word that its death cut off
                continue
            if "finished" in said:
                self._tell(Finished(said["machine"], said["seconds"], said["identity"]))
                self._waiting.discard(said["machine"])
            else:
                known = {name: value for name, value in said.items() if name in NAMES}
                self._tell(CheckResult(**known))
        for machine in sorted(self._waiting):
            self._tell(self._lost(machine))
            self._tell(Finished(machine, 0.0))
        self._waiting.clear()

    def _lost(self, machine: str) -> CheckResult:
        return CheckResult(
            machine,
            UNCHECKED,
            "the checks run to their end",
            "failed",
            expected="a checking process that lives",
            seen=self._last_words(),
            todo="run again; if it stays, report it as a bug of labkit's",
        )

    def _last_words(self) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().strip().splitlines()[-5:]) or "it said nothing"


def junit(results: Iterable[CheckResult], file: Path) -> None:
    """Write the results as JUnit XML, one suite per machine."""
    suites = ET.Element("testsuites", name="labkit verify")
    known: dict[str, list[CheckResult]] = {}
    for result in results:
        known.setdefault(result.machine, []).append(result)
    for machine, its in known.items():
        bad = sum(one.outcome in {"failed", "unreachable"} for one in its)
        suite = ET.SubElement(
            suites,
            "testsuite",
            name=machine,
            tests=str(len(its)),
            failures=str(bad),
            skipped=str(sum(one.outcome == "skipped" for one in its)),
            time=f"{sum(one.seconds for one in its):.3f}",
        )
        for one in its:
            _case(suite, one)
    ET.indent(suites)
    ET.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def _case(suite: ET.Element, result: CheckResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        classname=result.machine + ("" if result.part == CHECKS else f".{result.part}"),
        name=_speakable(result.promise),
        time=f"{result.seconds:.3f}",
    )
    if result.outcome == "skipped":
        ET.SubElement(case, "skipped", message=_speakable(result.detail))
    elif result.outcome != "passed":
        seen, text = f"saw {result.seen}", f"expected {result.expected}\nsaw {result.seen}"
        if result.part != CHECKS:
            seen, text = result.answer.partition("\n")[0], f"{result.check}\n{result.answer}"
        failure = ET.SubElement(case, "failure", message=_speakable(seen))
        failure.text = _speakable(f"{text}\n→ {result.todo}")


def _speakable(text: str) -> str:
    return UNSPEAKABLE.sub("\ufffd", text)
