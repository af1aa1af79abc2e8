"""
Measure what a depot spares a class: bytes over the line to the registry, and time.

    python bench/depot.py [--machines N] [--megabits N] [--few] [--empty] [--write]

Makes a sandbox with a depot, and a registry behind a line of 50 Mbit/s that serves the sandbox's
stand-ins and counts what it gives. The class's images are pulled by machines that have none, by
all at once: without a depot, through an empty one, and from a seeded one. Then once more where all
is there. --few takes three small images, to see whether it works; --empty measures the empty
depot alone, which takes minutes instead of half an hour. Needs root, and a sandbox whose
images come from stand-ins. Prints a Markdown table; --write puts it into
README.md.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from measure import ROOT, Sandbox, bench, labkit, out, told
from upstream import URL, Upstream, upstream

from labkit.depot.stock.names import HUB, read_name
from labkit.plan.loads import distinct
from labkit.plan.sizes import Ways, by_registry

FEW = ("hello-world", "nginx:1.30.4-alpine", "registry:3.1.2")
HEAD = "| | pull phase | upstream, MB | times the distinct bytes | as fast as without | allowed |"
PULL = "Pull the images of the class"
# A class without a depot on a slow line is what this is about.
LONGEST_SECONDS = 3 * 3600
MB = 10**6
WIPE = (
    "docker ps -aq | xargs -r docker rm -f -v; docker image ls -aq | sort -u | "
    "xargs -r docker image rm -f; docker builder prune -af"
)
SAVED = "/var/tmp/labkit-bench.tar"  # noqa: S108 - on a machine that is taken away
SAVE = f"docker image ls -q | sort -u | xargs docker save -o {SAVED}"
FETCH = "xargs -n 1 curl -sSf -o /dev/null"


@dataclass(frozen=True)
class Phase:
    """The slowest machine's seconds for its pulls and for the whole role, and upstream's blobs."""

    pull: float
    role: float
    blobs: list[int]

    @property
    def bytes(self) -> int:
        return sum(self.blobs)


class Bench:
    """The class that is measured."""

    def __init__(self, made: Sandbox, line: Upstream, *, few: bool) -> None:
        self.made, self.line, self.few = made, line, few
        self.images = list(FEW) if few else references()
        inputs: dict[str, object] = {
            "docker_engine_daemon": {"registry-mirrors": [URL]},
            "depot_upstreams": {HUB: URL},
            # Beside the pulls they would want the processors that all machines share here.
            "images_build": [],
            "images_database": "",
            # Without a depot some machine gets no byte for minutes: it shall have its end, too.
            "images_patience": 900,
        }
        if few:
            inputs["images_pull"] = [{"reference": one} for one in FEW]
        self._inputs = inputs

    def words(self, verb: list[object], **more: object) -> list[object]:
        return [*labkit(*verb, "-i", self.made.inventory), "-e", json.dumps(self._inputs | more)]

    def depot(self, verb: str) -> float:
        """Return the seconds of a verb of the depot's."""
        began = time.monotonic()
        self._run(self.words(["depot", verb]))
        return time.monotonic() - began

    def prepare(self, **more: object) -> None:
        """Bring the machines to where only images are missing, with a depot or without."""
        roles = "preflight,base,docker_engine"
        self._run([*self.words(["provision"], **more), "--json", "--no-verify", "--tags", roles])

    def pull(self, **more: object) -> Phase:
        """Have all machines get the images, which none has."""
        self.everywhere(WIPE)
        return self.role(**more)

    def role(self, **more: object) -> Phase:
        """Run the role `images`, and return what it took."""
        return self._measured(["--no-verify", "--tags", "images"], **more)

    def again(self) -> Phase:
        """Provision once more: what is as it was is checked, and no role runs for it."""
        return self._measured([])

    def _measured(self, options: list[object], **more: object) -> Phase:
        self.line.mark()
        said = self._run([*self.words(["provision"], **more), "--json", *options])
        events = [one for one in map(json.loads, said.splitlines()) if one["type"] == "event"]
        pulls = [one["seconds"] for one in events if one["step"] == PULL and one["seconds"]]
        spent: dict[str, float] = {}
        for one in events:
            if one["part"] == "images":
                spent[one["machine"]] = spent.get(one["machine"], 0) + one["seconds"]
        return Phase(max(pulls, default=0), max(spent.values(), default=0), self.line.blobs)

    def full(self) -> None:
        """Provision with all that a class gets, builds and database."""
        whole = {key: one for key, one in self._inputs.items() if key.startswith(("docker", "dep"))}
        words = labkit("provision", "-i", self.made.inventory, "--json", "-e", json.dumps(whole))
        self._run(words)
        self._inputs = whole

    def everywhere(self, line: str) -> float:
        """Return the seconds that a line of sh takes as root on all machines at once."""
        began = time.monotonic()
        ansible = ["ansible", "-i", self.made.inventory, "machines", "-b", "-f", 50]
        self._run([*ansible, "-m", "ansible.builtin.shell", "-a", line])
        return time.monotonic() - began

    def _run(self, command: list[object]) -> str:
        words = [str(word) for word in command]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
        )
        if done.returncode:
            said = (done.stdout[-3000:], done.stderr[-3000:])
            sys.exit(f"{' '.join(words)}: exit code {done.returncode}\n{said[0]}\n{said[1]}")
        return done.stdout


def references() -> list[str]:
    """Return the class's images, as the role has them."""
    role = yaml.safe_load((ROOT / "roles/images/defaults/main.yml").read_text())
    return [one["reference"] for one in role["images_pull"]]


def blobs(images: list[str]) -> dict[str, int]:
    """Return blob → bytes of the images' layers and configurations, each once."""
    with tempfile.TemporaryDirectory() as folder:
        ways = Ways({HUB: URL}, frozenset())
        sizes, wrong = by_registry(images, {"amd64"}, ways, Path(folder, "kept"))
    if wrong:
        sys.exit(f"upstream lacks images: {', '.join(wrong)}")
    manifests = {digest for one in sizes.values() for digest in one.digests}
    return distinct(sizes.values(), manifests)


def row(what: str, phase: Phase, base: Phase | None, size: int, allowed: str) -> str:
    """Return a row of the table; `base` is None where it was not measured."""
    faster = f"{base.pull / phase.pull:.1f}" if base else ""
    return told(
        f"| {what} | {phase.pull:.1f} s | {phase.bytes / MB:.0f} | {phase.bytes / size:.2f} | "
        f"{faster} | {allowed} |"
    )


def least(made: Bench, images: dict[str, int]) -> tuple[float, float]:
    """
    Return the seconds that network and unpacking take alone, on all machines at once.

    The network: each blob from the depot to nowhere. Unpacking: `docker load` of the same images
    from the machine's own disk, which has no gzip to undo.
    """
    names = repositories(made.images)
    depot = depot_url(made.made.inventory)
    urls = "\n".join(f"{depot}/v2/{names[digest]}/blobs/{digest}" for digest in images)
    network = made.everywhere(f"printf '%s\\n' '{urls}' | {FETCH}")
    made.everywhere(SAVE)
    made.everywhere(WIPE)
    return network, made.everywhere(f"docker load -qi {SAVED}; rm {SAVED}")


def repositories(images: list[str]) -> dict[str, str]:
    """Return blob → a repository that has it."""
    return {digest: read_name(one).repository for one in images for digest in blobs([one])}


def depot_url(inventory: Path) -> str:
    """Return where the class's machines find its depot."""
    told_of = json.loads(out("ansible-inventory", "-i", str(inventory), "--host", "depot"))
    return f"http://{told_of['ansible_host']}:{told_of.get('depot_port', 5080)}"


def measure(made: Sandbox, given: argparse.Namespace) -> Iterator[str]:
    """Give the table's rows; the four phases are of one run, with machines that have no images."""
    if given.empty and given.write:
        sys.exit("--empty is not the whole table: leave --write out")
    if os.getuid():
        sys.exit("a line of its own for the registry takes root")
    made.up(given.machines, "--depot")
    with upstream(given.megabits) as line:
        one = Bench(made, line, few=given.few)
        images = blobs(one.images)
        size, speed = sum(images.values()), given.megabits * MB / 8
        yield told(f"| {len(one.images)} images, distinct | | {size / MB:.0f} | 1 | | |")
        base = None
        if not given.empty:
            one.prepare(preflight_depot="")
            base = one.pull(preflight_depot="")
            yield row("without a depot", base, base, size, "")
        one.depot("up")
        one.prepare()
        limit = f"1.05 x, {1.5 * size / speed:.0f} s, 4"
        yield row("an empty depot", one.pull(), base, size, limit)
        if given.empty:
            return
        line.mark()
        seconds = one.depot("seed")
        yield row("seeding", Phase(seconds, seconds, line.blobs), base, size, "1.05 x")
        seeded = one.pull()
        network, unpacking = least(one, images)
        limit = f"0 x, {2 * max(network, unpacking):.0f} s, 4"
        yield row("a seeded depot", seeded, base, size, limit)
        yield told(f"| its network alone | {network:.1f} s | | | | |")
        yield told(f"| its unpacking alone | {unpacking:.1f} s | | | | |")
        if not given.few:
            one.full()
            yield all_there(one, "all there, provisioned again", one.again)
        one.role()
        yield all_there(one, "all there, the role by its tag", one.role)


def all_there(made: Bench, what: str, run: Callable[[], Phase]) -> str:
    """Give the row of a run where all is there, which has to ask nobody for a blob."""
    asked = depot_blobs(made)
    phase = run()
    requests = len(phase.blobs) + depot_blobs(made) - asked
    return told(
        f"| {what}: {phase.role:.2f} s of the role, {requests} blob requests | {phase.pull:.2f} s "
        f"| {phase.bytes / MB:.0f} | | | 1 s, none |"
    )


def depot_blobs(made: Bench) -> int:
    """Return how often the depot was asked for a blob until now."""
    log = "/var/lib/labkit-depot/log/access.jsonl"
    line = f"grep -c /blobs/ {log} || true"
    ansible = ("ansible", "-i", str(made.made.inventory), "depot", "-b", "-o")
    said = out(*ansible, "-m", "ansible.builtin.shell", "-a", line)
    return int(said.split()[-1])


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--machines", type=int, default=6)
    parser.add_argument("--megabits", type=int, default=50, help="the line to the registry")
    parser.add_argument("--few", action="store_true", help="three small images")
    parser.add_argument("--empty", action="store_true", help="only from an empty depot")
    bench("depot", HEAD, parser, measure)


if __name__ == "__main__":
    main()
