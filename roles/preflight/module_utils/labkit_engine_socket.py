"""HTTP over the Docker engine's own socket: no command line, in which others could read."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE_SOCKET = "/run/docker.sock"
# A join is answered when the manager has taken the node in, which may take a while.
PATIENCE = 60


class PatientSocket(socket.socket):
    """One whose silence is borne, its timeout over and over, while `bears` says so."""

    bears: Callable[[int], bool]

    def recv_into(self, *words: Any) -> int:
        """Receive; `bears` is asked with the number of timeouts so far."""
        silences = 0
        while True:
            try:
                return super().recv_into(*words)
            except TimeoutError:
                silences += 1
                if not self.bears(silences):
                    raise


class EngineConnection(http.client.HTTPConnection):
    """A connection to the engine of this machine; see PatientSocket for `bears`."""

    bears: Callable[[int], bool] = staticmethod(lambda _: False)

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = PatientSocket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.bears = self.bears
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE_SOCKET)


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """
    Return what the engine answers (https://docs.docker.com/reference/api/engine/).

    Raises:
        OSError: It refuses, and the message is its own; or it does not answer.
    """
    connection = EngineConnection("localhost", timeout=PATIENCE)
    try:
        text = json.dumps(body) if body is not None else ""
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"the engine does not answer: {type(error).__name__}") from error
    finally:
        connection.close()
    try:
        found = json.loads(said or b"null")
    except ValueError:
        found = {"message": said.decode(errors="replace")}
    if answer.status >= http.client.BAD_REQUEST:
        raise OSError(found["message"] if isinstance(found, dict) else str(found))
    return found
