"""Disposable classes on one Linux box: real machines in the sense that matters."""

from labkit.sandbox.lifecycle import MachineStatus, Status, down, status, up

__all__ = ["MachineStatus", "Status", "down", "status", "up"]
