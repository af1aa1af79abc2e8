"""
Measure what a provision and a verify of a class cost, beside plain Ansible on the same machines.

    python bench/provision.py [--machines N] [--write]

Makes a sandbox, measures, takes it away, and prints a Markdown table; --write puts it into
README.md beside this file. Both sides run in turn on the same box, so that their ratio means
something where the seconds do not. Plain Ansible means `ansible-playbook` with Ansible's own
defaults on the same playbook, which has no checks; labkit's numbers include them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("README.md")
BEGIN, END = "<!-- provision: begin -->", "<!-- provision: end -->"
FEW = 3
# A frozen machine keeps plain Ansible waiting for as long as one lets it.
LONGEST_SECONDS = 600


@dataclass
class Bench:
    """A sandbox in `directory`, and the rows that were measured on it."""

    directory: Path
    machines: int
    rows: list[str] = field(default_factory=list)

    def up(self, machines: int) -> None:
        """Make so many bare machines, each a seat of its own."""
        run(labkit("sandbox", "up", self.directory, "--seats", machines, "--machines-per-seat", 1))

    def down(self) -> None:
        run(labkit("sandbox", "down", self.directory))

    def provision(self, *more: object, good: int = 0) -> float:
        return timed(labkit("provision", "-i", self.inventory, "--json", *more), good=good)

    def verify(self) -> float:
        return timed(labkit("verify", "-i", self.inventory, "--json"))

    def plain(self, limit: str = "all", good: int = 0) -> float:
        """Run the playbook as somebody would who has no labkit."""
        hashes = json.dumps({"attendee_keys": [self.public_key], "ansible_pipelining": False})
        command = ["ansible-playbook", "-i", self.inventory, "--limit", limit, "-e", hashes]
        with tempfile.TemporaryDirectory() as elsewhere:
            (empty := Path(elsewhere, "ansible.cfg")).touch()
            defaults = {
                "ANSIBLE_CONFIG": str(empty),
                "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
                "ANSIBLE_HOME": elsewhere,
            }
            return timed([*command, ROOT / "playbooks/provision.yml"], defaults, good)

    @property
    def inventory(self) -> Path:
        return self.directory / "class.ini"

    @property
    def public_key(self) -> str:
        return (self.directory / "id_ed25519.pub").read_text().strip()

    def first(self, machines: int) -> str:
        """Return a limit that names the first machines."""
        return ",".join(f"seat{number:02}-vm1" for number in range(1, machines + 1))

    def row(self, what: str, ours: float, plain: float | None) -> None:
        ratio = f"{plain / ours:.1f}" if plain else ""
        theirs = "" if plain is None else f"{plain:.1f} s"
        late = "> " if plain and plain >= LONGEST_SECONDS else ""
        self.rows.append(f"| {what} | {ours:.1f} s | {late}{theirs} | {late}{ratio} |")
        print(self.rows[-1], file=sys.stderr, flush=True)

    @contextmanager
    def frozen(self, address: str) -> Iterator[None]:
        """Let a machine do nothing for a while, as one whose disk or hypervisor hangs."""
        listed = out("docker", "ps", "--quiet", "--filter", "label=labkit.sandbox").split()
        shown = json.loads(out("docker", "inspect", *listed))
        name = next(one["Name"][1:] for one in shown if f'"{address}"' in json.dumps(one))
        out("docker", "pause", name)
        try:
            yield
        finally:
            out("docker", "unpause", name)


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


def measure(bench: Bench) -> None:
    """Fill the table, the cold rows on machines made anew for each side."""
    most, few = bench.machines, bench.first(FEW)
    bench.up(FEW)
    plain = bench.plain()
    bench.down()
    bench.up(most)
    bench.row(f"cold provision of {FEW}", bench.provision("--limit", few), plain)
    bench.row(f"no-change provision of {FEW}", bench.provision("--limit", few), bench.plain(few))
    bench.provision()
    bench.row(f"no-change provision of {most}", bench.provision(), bench.plain())
    bench.row(f"verify of {most}", bench.verify(), None)
    address = json.loads(out(*map(str, labkit("sandbox", "status", bench.directory, "--json"))))[
        "machines"
    ][-1]["address"]
    with bench.frozen(address):
        ours = bench.provision(good=1)
        bench.row(f"no-change provision of {most}, one of them frozen", ours, bench.plain(good=4))
    bench.row("`labkit --help`", best(labkit("--help")), None)


def best(command: list[object]) -> float:
    return min(timed(command) for _ in range(5))


def table(bench: Bench) -> str:
    """Return the table with what one has to know to read it."""
    processor = next(
        (line.split(": ", 1)[1] for line in cpuinfo() if line.startswith("model name")),
        platform.processor() or "unknown processor",
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    head = (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} x {processor}, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, ansible-core {version('ansible-core')}; machines, "
        "their engines and the controller share these processors.\n\n"
        "| | labkit, checks included | plain ansible-playbook | times as fast |\n"
        "|---|---|---|---|\n"
    )
    return head + "\n".join(bench.rows) + "\n"


def cpuinfo() -> list[str]:
    return [line.replace("\t", "") for line in Path("/proc/cpuinfo").read_text().splitlines()]


def write(text: str) -> None:
    """Put the table between its marks in the page."""
    page = TABLE.read_text()
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    TABLE.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--machines", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="put the table into bench/README.md")
    given = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as folder:
        bench = Bench(Path(folder) / "class", given.machines)
        try:
            measure(bench)
        finally:
            bench.down()
    print(table(bench))
    if given.write:
        write(table(bench))


if __name__ == "__main__":
    main()
