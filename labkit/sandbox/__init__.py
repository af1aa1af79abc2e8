"""Disposable classes on one Linux box: real machines in the sense that matters."""

from labkit.sandbox.backends import down, status, up
from labkit.sandbox.states import BACKENDS, MachineStatus, Status

__all__ = ["BACKENDS", "MachineStatus", "Status", "down", "status", "up"]
