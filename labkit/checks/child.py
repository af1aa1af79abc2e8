"""What the checking process does for one machine, in a process of its own."""

import os
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labkit.checks.line import Line, NoRoot, Unreachable
from labkit.checks.machine import Machine
from labkit.checks.reporter import Reporter, Tell, broken, reason
from labkit.ssh import askpass
from labkit.verdicts import UNCHECKED

HERE = Path(__file__).parent
# What is proven first explains what fails later; what labkit left behind is looked for last.
FILES = (
    "engine",
    "packages",
    "depot",
    "login",
    "machine",
    "images",
    "apps",
    "seat",
    "swarm",
    "registry",
    "ports",
    "traces",
)
PROMISE_OF_REACH = "the machine answers over SSH, and lets labkit become root"


class Subject:
    """Hands the machine and its line to the fixtures, by pytest's config."""

    def __init__(self, machine: Machine, line: Line) -> None:
        self.machine = machine
        self.line = line


SUBJECT = pytest.StashKey[Subject]()


class Stage:
    """The plugin that puts the subject on the stage before anything is collected."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def pytest_configure(self, config: pytest.Config) -> None:
        """Keep the subject where fixtures find it."""
        config.stash[SUBJECT] = self._subject


def check(raw: Mapping[str, Any], directory: Path, tell: Tell) -> None:
    """
    Try every promise on one machine and tell each outcome, then that it is finished.

    `directory` is private and short enough to hold a control socket.
    """
    start = time.monotonic()
    identity: dict[str, str] = {}
    try:
        identity = _try_promises(Machine.read(raw, directory), tell)
    except (Unreachable, NoRoot):
        error = pytest.ExceptionInfo.from_current()
        tell(_out_of_reach(error, time.monotonic() - start))
    except BaseException:  # noqa: BLE001 - whatever it was: never silence
        tell(broken("the checks run to their end", traceback.format_exc()))
    tell(
        {
            "finished": True,
            "seconds": round(time.monotonic() - start, 3),
            "identity": identity,
        },
    )


def _try_promises(machine: Machine, tell: Tell) -> dict[str, str]:
    with askpass(machine.connection.password, machine.directory) as environment:
        line = Line(machine.connection, machine.directory / "line", environment)
        try:
            return _run_pytest(Subject(machine, line), tell)
        finally:
            line.close()


def _run_pytest(subject: Subject, tell: Tell) -> dict[str, str]:
    identity = _identity(subject.line)
    # Nothing of the folder that labkit was called in, or of the user's pytest, has a say.
    arguments = [
        *("-c", os.devnull, "--rootdir", str(HERE), "--confcutdir", str(HERE)),
        *("-p", "no:cacheprovider", "--assert=plain", "--tb=short", "-q"),
        *(str(HERE / f"test_{name}.py") for name in FILES),
    ]
    code = pytest.main(arguments, plugins=[Stage(subject), Reporter(tell)])
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}:
        tell(broken("the checks run to their end", f"pytest ended with {code!r}"))
    return identity


# From where its data lies, whether it runs or not; engines before 23 have no such file.
ENGINE_ID = (
    "root=$(timeout 5 docker info --format '{{.DockerRootDir}}'); "
    "cat ${root:-/var/lib/docker}/engine-id || timeout 5 docker info --format '{{.ID}}'"
)
# One line each, also of a file that is missing, or, as the engine's, has no line's end.
IDENTITY = "; ".join(
    f'echo "$({ask} 2>/dev/null)"'
    for ask in (
        "hostname",
        "cat /etc/machine-id",
        ENGINE_ID,
        "cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub",
    )
)


def _identity(line: Line) -> dict[str, str]:
    """Return what must be this machine's alone in the class; "" for what it lacks."""
    names = ("hostname", "machine_id", "engine_id", "host_key")
    answer = line.ask_root(IDENTITY).stdout.decode(errors="replace")
    return dict(zip(names, (answer + "\n" * len(names)).split("\n"), strict=False))


def _out_of_reach(error: pytest.ExceptionInfo[BaseException], seconds: float) -> dict[str, Any]:
    """Return the one outcome of a machine that cannot be checked at all."""
    outcome = {"check": UNCHECKED, "promise": PROMISE_OF_REACH, "seconds": round(seconds, 3)}
    if isinstance(error.value, NoRoot):
        return outcome | {
            "outcome": "failed",
            "expected": "sudo to run a command as root",
            "seen": str(error.value),
            "todo": "give sudo's password with -K, or allow sudo without one for this login",
        }
    return outcome | {"outcome": "unreachable"} | reason(error)
