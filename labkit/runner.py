"""
The one door to ansible-runner, and the one place that knows its traps.

They are: state that survives in a persistent folder (a fresh one per run here), settings
that are lost with `suppress_env_files`, handlers that must not be slow or fail, a cancel that
kills Ansible but not its workers, "successful" for a run in which no host took part.
"""

import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner

from labkit.errors import LabkitError
from labkit.events import Event, read_event

# Ansible's workers need a moment to end their ssh before they are killed.
GRACE_SECONDS = 1.5
POLL_SECONDS = 0.1
LOG_LINES = 15


@dataclass(frozen=True, slots=True)
class Play:
    """One run of one playbook; all paths absolute, `machines` never empty."""

    playbook: Path
    inventory: Path
    machines: Sequence[str]
    directory: Path
    environment: Mapping[str, str] = field(repr=False)
    arguments: Sequence[str] = ()
    forks: int = 5


class Stop:
    """A request to end a run, which may come from a signal handler at any time."""

    def __init__(self) -> None:
        self.asked = False


class _Interrupt:
    """Passes a request to stop on to one playbook's process."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._process: int | None = None
        self._since: float | None = None

    def met(self, process: int | None) -> None:
        """Learn the playbook's process id, which stands in every event."""
        self._process = self._process or process

    def due(self) -> bool:
        """Pass the interrupt on once, and tell after a grace that the rest may be killed."""
        if not self._stop.asked:
            return False
        if self._since is None:
            self._since = time.monotonic()
            if self._process:
                with suppress(ProcessLookupError):
                    os.kill(self._process, signal.SIGINT)
        return time.monotonic() - self._since > GRACE_SECONDS


def run_playbook(play: Play, tell: Callable[[Event], None], stop: Stop) -> None:
    """
    Run the playbook to its end, and tell each event as it happens.

    `tell` must return at once: ansible-runner fails where its handler is slow. A machine
    of which no event was told never took part; the caller has to notice.

    Raises:
        LabkitError: The run could not start, or Ansible gave up before its first task.
    """
    met = False
    interrupt = _Interrupt(stop)

    def handle(raw: Mapping[str, Any]) -> bool:
        nonlocal met
        interrupt.met(raw.get("pid"))
        event = read_event(raw)
        if event is not None:
            met = True
            tell(event)
        return False

    runner = _prepare(play, handle, interrupt)
    runner.run()
    if not met and not stop.asked:
        raise LabkitError(
            f"Ansible ended before its first task: {_last_words(runner)}",
            "the same playbook can be tried with ansible-playbook -i and --syntax-check",
        )


def _prepare(play: Play, handle: Callable[[Mapping[str, Any]], bool], interrupt: _Interrupt) -> Any:
    hosts = play.directory / "limit"
    hosts.write_text("\n".join(play.machines) + "\n", encoding="utf-8")
    folder = play.directory / "runner"
    folder.mkdir()
    runner = ansible_runner.interface.init_runner(
        private_data_dir=str(folder),
        playbook=str(play.playbook),
        inventory=str(play.inventory),
        limit=f"@{hosts}",
        forks=play.forks,
        cmdline=shlex.join(play.arguments) or None,
        quiet=True,
        suppress_env_files=True,
        event_handler=handle,
        cancel_callback=interrupt.due,
    )
    runner.config.pexpect_timeout = POLL_SECONDS
    # As with plain Ansible, a relative path in the inventory starts where the command was typed.
    runner.config.cwd = str(Path.cwd())
    own = {name: value for name, value in runner.config.env.items() if name.startswith("ANSIBLE_")}
    kept = {name: own[name] for name in RUNNERS_OWN if name in own}
    runner.config.env = {**runner.config.env, **play.environment, **kept}
    return runner


# What ansible-runner needs to hear of its child; all else is labkit's or the instructor's.
RUNNERS_OWN = ("ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_RETRY_FILES_ENABLED")


def _last_words(runner: Any) -> str:
    with suppress(OSError):
        lines = [line.strip() for line in runner.stdout.read().splitlines() if line.strip()]
        return "\n".join(lines[-LOG_LINES:]) or "no answer"
    return "no answer"
