"""Talks to a running QEMU, and to the agent on its machine: lines of JSON on a socket."""

import base64
import json
import os
import secrets
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from labkit.errors import ControllerError

MONITOR = "monitor.sock"
AGENT = "agent.sock"

_DELIMITER = b"\xff"
_PAUSE = 0.05


class Silent(OSError):
    """Nobody answered in time, or the other end is gone."""


class _Line:
    """A socket in a machine's folder, on which each command gets one answer."""

    def __init__(self, folder: Path, name: str, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX)
        # A socket's path may be 107 bytes long, and a folder's is longer than that before long.
        directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
        try:
            self._socket.settimeout(seconds)
            self._socket.connect(f"/proc/self/fd/{directory}/{name}")
        except BaseException:
            self._socket.close()
            raise
        finally:
            os.close(directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        """
        Return what the command returns.

        Raises:
            ControllerError: It was refused.
            Silent: No answer came in time.
        """
        self._send(
            {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        )
        while True:
            answer = self._read()
            if "error" in answer:
                raise ControllerError(f"QEMU refused {command}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def _send(self, message: dict[str, Any], before: bytes = b"") -> None:
        try:
            self._socket.sendall(before + json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise Silent(str(error)) from error

    def _read(self) -> dict[str, Any]:
        """Return the next message; what an earlier talk left unfinished is no message."""
        while True:
            try:
                message = json.loads(self._until(b"\n").rpartition(_DELIMITER)[2])
            except ValueError:
                continue
            if isinstance(message, dict):
                return message

    def _until(self, end: bytes) -> bytes:
        while end not in self._buffer:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise Silent("no answer in time")
            try:
                self._socket.settimeout(left)
                more = self._socket.recv(65536)
            except OSError as error:
                raise Silent(str(error)) from error
            if not more:
                raise Silent("the other end hung up")
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(end)
        return line


class Monitor(_Line):
    """
    QEMU's own monitor, for some seconds: the machine is QEMU's to stop, to save, to end.

    https://www.qemu.org/docs/master/interop/qmp-spec.html
    """

    def __init__(self, folder: Path, seconds: float = 5) -> None:
        super().__init__(folder, MONITOR, seconds)
        try:
            self._read()
            self.ask("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise


class Agent(_Line):
    """
    The agent on the machine, for some seconds: it runs commands there as root.

    https://www.qemu.org/docs/master/interop/qemu-ga-ref.html
    """

    def __init__(self, folder: Path, seconds: float = 5) -> None:
        super().__init__(folder, AGENT, seconds)
        try:
            self._synchronize()
        except BaseException:
            self._socket.close()
            raise

    def run(self, *command: str, text: bytes = b"") -> tuple[int, str]:
        """Return the exit code of a command on the machine, and all that it said."""
        started = self.ask(
            "guest-exec",
            path=command[0],
            arg=list(command[1:]),
            **({"input-data": base64.b64encode(text).decode()} if text else {}),
            **{"capture-output": True},
        )
        while True:
            state = self.ask("guest-exec-status", pid=started["pid"])
            if state["exited"]:
                said = (base64.b64decode(state.get(key, "")) for key in ("out-data", "err-data"))
                return int(state.get("exitcode", -1)), b"".join(said).decode(errors="replace")
            time.sleep(_PAUSE)

    def _synchronize(self) -> None:
        # Answers to those who asked before us, and did not wait, come first.
        number = secrets.randbelow(1 << 31)
        self._send(
            {"execute": "guest-sync-delimited", "arguments": {"id": number}}, before=_DELIMITER
        )
        while self._read().get("return") != number:
            pass
