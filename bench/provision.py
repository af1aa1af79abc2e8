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
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import (
    LONGEST_SECONDS,
    ROOT,
    Sandbox,
    bench,
    first,
    labkit,
    out,
    timed,
    told,
)

from labkit.logins import password_hash, read_passwords

FEW = 3
HEAD = "| | labkit, checks included | plain ansible-playbook | times as fast |"


def plain(made: Sandbox, limit: str = "all", good: int = 0) -> float:
    """Run the playbook as somebody would who has no labkit."""
    inputs = json.dumps({**logins(made), "ansible_pipelining": False})
    command = ["ansible-playbook", "-i", made.inventory, "--limit", limit, "-e", inputs]
    with tempfile.TemporaryDirectory() as elsewhere:
        (empty := Path(elsewhere, "ansible.cfg")).touch()
        defaults = {
            "ANSIBLE_CONFIG": str(empty),
            "ANSIBLE_ROLES_PATH": str(ROOT / "roles"),
            "ANSIBLE_HOME": elsewhere,
        }
        return timed([*command, ROOT / "playbooks/provision.yml"], defaults, good)


def logins(made: Sandbox) -> dict[str, object]:
    """Return how attendees log in: as labkit has arranged it, if it has been there."""
    if passwords := read_passwords(made.directory / "logins.csv"):
        hashes = {seat: password_hash(password, seat) for seat, password in passwords.items()}
        return {"attendee_password_hashes": hashes}
    return {"attendee_keys": [(made.directory / "id_ed25519.pub").read_text().strip()]}


@contextmanager
def frozen(address: str) -> Iterator[None]:
    """Let a machine do nothing for a while, as one whose disk or hypervisor hangs."""
    listed = out("docker", "ps", "--quiet", "--filter", "label=labkit.sandbox").split()
    shown = json.loads(out("docker", "inspect", *listed))
    name = next(one["Name"][1:] for one in shown if f'"{address}"' in json.dumps(one))
    out("docker", "pause", name)
    try:
        yield
    finally:
        out("docker", "unpause", name)


def row(what: str, ours: float, theirs: float | None = None) -> str:
    late = "> " if theirs and theirs >= LONGEST_SECONDS else ""
    seconds, ratio = (f"{theirs:.1f} s", f"{theirs / ours:.1f}") if theirs else ("", "")
    return told(f"| {what} | {ours:.1f} s | {late}{seconds} | {late}{ratio} |")


def measure(made: Sandbox, most: int) -> Iterator[str]:
    """Give the table's rows, the cold one from machines made anew for each side."""
    few = first(FEW)
    made.up(FEW)
    theirs = plain(made)
    made.down()
    made.up(most)
    yield row(f"cold provision of {FEW}", made.provision("--limit", few), theirs)
    ours = made.provision("--limit", few)
    yield row(f"no-change provision of {FEW}", ours, plain(made, few))
    made.provision()
    yield row(f"no-change provision of {most}", made.provision(), plain(made))
    yield row(f"verify of {most}", made.verify())
    status = json.loads(out(*map(str, labkit("sandbox", "status", made.directory, "--json"))))
    with frozen(status["machines"][-1]["address"]):
        ours = made.provision(good=1)
        what = f"no-change provision of {most}, one of them frozen"
        yield row(what, ours, plain(made, good=4))
    yield row("`labkit --help`", min(timed(labkit("--help")) for _ in range(5)))


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--machines", type=int, default=10)
    bench("provision", HEAD, parser, lambda made, given: measure(made, given.machines))


if __name__ == "__main__":
    main()
