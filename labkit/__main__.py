"""Lets `python -m labkit` do what the command `labkit` does."""

from labkit.cli import main

main()
