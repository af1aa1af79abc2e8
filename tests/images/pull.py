#!/usr/bin/env python3
"""Puts stand-ins onto this box's own engine under Docker Hub's names: pull.py mongo node ..."""

import sys

from labkit.errors import LabkitError
from labkit.sandbox.pull import pull


def main() -> int:
    names = sys.argv[1:]
    if not names:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        pull(names, lambda line: sys.stderr.write(f"{line}\n"))
    except LabkitError as error:
        sys.stderr.write(f"{error.message}\n{error.hint or ''}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
