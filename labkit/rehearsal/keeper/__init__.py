"""Runs on a machine, as root: keeps what a rehearsal finds there, and puts it back afterwards."""
