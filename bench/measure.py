"""What the measurements share: a sandbox to measure on, and a table that tells of the box."""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = Path(__file__).with_name("README.md")
# A frozen machine keeps plain Ansible waiting for as long as one lets it.
LONGEST_SECONDS = 300


class Sandbox:
    """A disposable class, each machine a seat of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inventory = directory / "class.ini"

    def up(self, machines: int, *more: object) -> None:
        size = ("--seats", machines, "--machines-per-seat", 1)
        run(labkit("sandbox", "up", self.directory, *size, *more))

    def down(self) -> None:
        run(labkit("sandbox", "down", self.directory))

    def provision(self, *more: object, good: int = 0) -> float:
        return timed(labkit("provision", "-i", self.inventory, "--json", *more), good=good)

    def verify(self, *more: object) -> float:
        return timed(labkit("verify", "-i", self.inventory, "--json", *more))


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    """Give a sandbox that is yet to be put up, and take it away in the end."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        made = Sandbox(Path(folder) / "class")
        try:
            yield made
        finally:
            made.down()


def bench(
    name: str,
    head: str,
    parser: argparse.ArgumentParser,
    rows: Callable[[Sandbox, argparse.Namespace], Iterable[str]],
) -> None:
    """Measure once, in a sandbox of its own, and print the table or put it into the page."""
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    with sandbox() as made:
        text = table(head, list(rows(made, given)))
    print(text)
    if given.write:
        write(name, text)


def first(machines: int) -> str:
    """Return a limit that names the first machines."""
    return ",".join(f"seat{number:02}-vm1" for number in range(1, machines + 1))


def labkit(*words: object) -> list[object]:
    return [sys.executable, "-m", "labkit", *words]


def out(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def run(command: list[object], extra: dict[str, str] | None = None, good: int = 0) -> None:
    """Run a command that has to end with the exit code `good`, or not at all within the limit."""
    words = [str(word) for word in command]
    environment = {**os.environ, **(extra or {})}
    with tempfile.TemporaryFile() as log:
        try:
            done = subprocess.run(
                words, stdout=log, stderr=log, env=environment, check=False, timeout=LONGEST_SECONDS
            )
        except subprocess.TimeoutExpired:
            return
        if done.returncode != good:
            log.seek(0)
            said = log.read().decode(errors="replace")[-3000:]
            sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{said}")


def timed(command: list[object], extra: dict[str, str] | None = None, good: int = 0) -> float:
    """Return the seconds that `run` took."""
    began = time.monotonic()
    run(command, extra, good)
    return time.monotonic() - began


def told(row: str) -> str:
    """Show a row as soon as it is measured, and return it."""
    print(row, file=sys.stderr, flush=True)
    return row


def table(head: str, rows: list[str]) -> str:
    """Return a table with what one has to know to read it."""
    processor = next(
        (line.split(": ", 1)[1] for line in cpuinfo() if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    box = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} x {processor}, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, ansible-core {version('ansible-core')}; machines, "
        "their engines and the controller share these processors."
    )
    rule = "|---" * (head.count("|") - 1) + "|"
    return "\n".join([box, "", head, rule, *rows, ""])


def cpuinfo() -> list[str]:
    return [line.replace("\t", "") for line in Path("/proc/cpuinfo").read_text().splitlines()]


def write(name: str, text: str) -> None:
    """Put a table between its marks in the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = PAGE.read_text()
    before, rest = page.split(begin)
    after = rest.split(end)[1]
    PAGE.write_text(f"{before}{begin}\n{text}{end}{after}")
