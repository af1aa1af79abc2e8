"""Docker's own API, over its socket: https://docs.docker.com/reference/api/engine/."""

import http.client
import json
import socket
from typing import Any

SOCKET = "/run/docker.sock"
PATIENCE = 60
FIRST_REFUSAL = 400


class Refused(Exception):
    """The engine will not, or does not answer at all; the text is its own."""


class _Connection(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(SOCKET)


def ask(method: str, path: str) -> Any:
    """
    Return what the engine answers.

    Raises:
        Refused: It will not, or does not answer.
    """
    connection = _Connection("localhost")
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        said = json.loads(answer.read() or b"null")
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Refused(f"the engine does not answer at {SOCKET}: {error}") from None
    finally:
        connection.close()
    if answer.status >= FIRST_REFUSAL:
        raise Refused((said or {}).get("message") or f"the engine answers {answer.status}")
    return said
