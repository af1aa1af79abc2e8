"""The record of a class's runs, in `.labkit/` beside the inventory; no secret ever enters it."""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labkit.errors import BadInput
from labkit.events import Event
from labkit.verdicts import GOOD, Progress

KEPT_RUNS = 10
APPLIED = "applied.json"


class Record:
    """
    What one run did: `events.jsonl` as it happens, `verdicts.json` at its end.

    Beside the runs, `verdicts.json` keeps each machine's latest verdict over all of
    them, and `engine.lock.json`, which the instructor owns, the class's engine version.
    """

    def __init__(self, class_directory: Path, verb: str, *, dry: bool = False) -> None:
        self.class_directory, self.dry = class_directory, dry
        self.folder = record_folder(class_directory)
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        self.run = self.folder / "runs" / f"{stamp}-{verb}"
        self.run.mkdir(parents=True, mode=0o700)
        # Line by line, for whoever looks on, and for what a killed run leaves.
        self._applied = _read(self.folder / APPLIED)
        self._events = (self.run / "events.jsonl").open("w", buffering=1, encoding="utf-8")
        _forget_oldest(self.folder / "runs")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # What a full disk refused, closing would try once more.
        with suppress(OSError):
            self._events.close()

    def take(self, event: Event, now: float) -> None:
        """Write one event down; `now` in seconds since the epoch."""
        self._events.write(json.dumps({"at": round(now, 3), **asdict(event)}) + "\n")
        if (lock := event.data.get("lock")) and not self.dry:
            lock_engine(self.class_directory, lock)

    def begin(self, machines: Iterable[str]) -> None:
        """Forget what was applied to machines on which roles begin: they may end half way."""
        for machine in machines:
            self._applied.pop(machine, None)
        _write(self.folder / APPLIED, self._applied)

    def apply(self, machine: str, fingerprint: str) -> None:
        """Keep what was applied to a machine, written down with the verdicts."""
        self._applied[machine] = fingerprint

    def close(self, verdicts: Iterable[Progress]) -> None:
        """Write down what became of each machine."""
        said = {one.machine: _verdict(one) for one in verdicts}
        _write(self.run / "verdicts.json", said)
        if not self.dry:
            _write(self.folder / APPLIED, self._applied)
            _write(self.folder / "verdicts.json", {**latest_verdicts(self.class_directory), **said})


def applied(class_directory: Path) -> dict[str, str]:
    """Return machine → the fingerprint of what a whole run of its roles last applied to it."""
    return _read(class_directory / ".labkit" / APPLIED)


def latest_verdicts(class_directory: Path) -> dict[str, Any]:
    """Return machine → its latest verdict (`state`, `reasons`, …) over all runs kept."""
    return _read(class_directory / ".labkit" / "verdicts.json")


def unfinished(class_directory: Path, machines: Iterable[str]) -> list[str]:
    """Return those machines that the latest runs did not leave ready, or never met."""
    verdicts = latest_verdicts(class_directory)
    return [name for name in machines if verdicts.get(name, {}).get("state") not in GOOD]


def locked_engine(class_directory: Path) -> dict[str, dict[str, str]]:
    """Return "<distribution>-<release>-<source>" → package → version, as the class has it."""
    return _read(class_directory / "engine.lock.json")


def lock_engine(class_directory: Path, lock: Mapping[str, Any]) -> None:
    """Keep the versions that a machine resolved, so that one that comes later gets the same."""
    known = locked_engine(class_directory)
    if known.get(lock["key"]) != lock["packages"]:
        _write(class_directory / "engine.lock.json", {**known, lock["key"]: lock["packages"]})


def usual_seconds(class_directory: Path, verb: str) -> dict[str, float]:
    """Return step → seconds that it took in the verb's latest run, the longest machine counting."""
    runs = sorted((class_directory / ".labkit" / "runs").glob(f"*-{verb}/verdicts.json"))
    usual: dict[str, float] = {}
    if not runs:
        return usual
    for line in (runs[-1].parent / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        usual[event["step"]] = max(event["seconds"], usual.get(event["step"], 0.0))
    return usual


def _verdict(progress: Progress) -> dict[str, Any]:
    return {
        "state": progress.state,
        "seat": progress.seat,
        "seconds": round((progress.ended or 0) - (progress.started or progress.ended or 0), 1),
        "steps": progress.steps,
        "changed": progress.changed,
        "reasons": [asdict(reason) for reason in progress.reasons],
        "notes": progress.notes,
    }


def record_folder(class_directory: Path) -> Path:
    """
    Return `.labkit` beside the inventory, made if need be, and only this user's.

    Raises:
        BadInput: The class's folder, or what an earlier run left in it, is not to be written to.
    """
    folder = class_directory / ".labkit"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
        # What labkit would otherwise stumble over in the middle of a run.
        for place in (class_directory, folder, folder / "runs", folder / "lock"):
            if place.exists() and not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise BadInput(
            f"the run's record cannot be kept in {error.filename or folder}: {error.strerror}",
            "put the inventory into a folder that you may write to",
        ) from None
    return folder


def _forget_oldest(runs: Path) -> None:
    for run in sorted(runs.iterdir())[:-KEPT_RUNS]:
        shutil.rmtree(run, ignore_errors=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        known = None
    if not isinstance(known, dict):
        raise BadInput(f"{file} is no JSON object", "put it back, or move it away")
    return known


def _write(file: Path, value: Mapping[str, Any]) -> None:
    draft = file.with_name(f".{file.name}.new")
    draft.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    draft.replace(file)
