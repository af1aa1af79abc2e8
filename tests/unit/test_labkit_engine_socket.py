"""A connection to the engine that bears its silence for a while, where there is a reason."""

import socket
from pathlib import Path
from threading import Timer

import pytest
from ansible.module_utils import labkit_engine_socket as engine


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    monkeypatch.setattr(engine, "ENGINE_SOCKET", str(tmp_path / "docker.sock"))
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "docker.sock"))
    server.listen()
    return server


def test_a_silence_is_borne_while_that_is_said(served: socket.socket) -> None:
    connection = engine.EngineConnection("localhost", timeout=0.1)
    asked: list[int] = []

    def bears(silences: int) -> bool:
        asked.append(silences)
        return True

    connection.bears = bears
    connection.connect()
    other, _ = served.accept()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"
    Timer(0.35, other.sendall, (answer,)).start()
    connection.request("GET", "/")

    assert connection.getresponse().read() == b"true"
    assert asked[:3] == [1, 2, 3]


@pytest.mark.usefixtures("served")
def test_a_silence_that_is_not_borne_ends_it() -> None:
    connection = engine.EngineConnection("localhost", timeout=0.1)
    connection.bears = lambda silences: silences < 3
    connection.request("GET", "/")

    with pytest.raises(TimeoutError):
        connection.getresponse()
