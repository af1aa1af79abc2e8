"""
Measure what a rehearsal of the guide costs on one seat, and on three seats at once.

    python bench/rehearsal.py [--chapters 3,4-6] [--write]

Makes a sandbox of three seats of one machine each, provisions it, and rehearses what one machine
can: all chapters but the swarm's. Prints a Markdown table; --write puts it into README.md beside
this file.
"""

import argparse
from collections.abc import Iterator

from measure import Sandbox, bench, first, told

SEATS = 3
HEAD = "| | seconds | times one seat |"


def measure(made: Sandbox, chapters: str) -> Iterator[str]:
    """Give the table's rows."""
    asked = f"--rehearse={chapters}"
    made.up(SEATS)
    made.provision()
    bare = made.verify("--limit", first(1))
    yield told(f"| checks alone, one seat | {bare:.0f} s | |")
    one = made.verify("--limit", first(1), asked)
    yield told(f"| checks and rehearsal, one seat | {one:.0f} s | 1 |")
    all_of_them = made.verify(asked)
    ratio = all_of_them / one
    yield told(f"| checks and rehearsal, {SEATS} seats | {all_of_them:.0f} s | {ratio:.1f} |")


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--chapters", default="all", help="as for labkit verify --rehearse")
    bench("rehearsal", HEAD, parser, lambda made, given: measure(made, given.chapters))


if __name__ == "__main__":
    main()
