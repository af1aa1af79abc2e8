"""A page that opens from the controller, and why one does not."""

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.checks import test_ports as ports
from labkit.checks.machine import Machine
from labkit.ssh import Connection


@pytest.fixture
def served() -> Iterator[int]:
    """Serve a page that there is not: an answer all the same."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "SECONDS_TO_ANSWER", 0.3)


def test_any_page_is_an_answer(served: int) -> None:
    assert ports.answer("127.0.0.1", served) == ""


@pytest.mark.usefixtures("hurried")
def test_a_port_without_anything_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]

    assert "refused" in ports.answer("127.0.0.1", free)


@pytest.mark.usefixtures("hurried")
def test_a_port_that_swallows_what_comes_is_late() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "timed out" in ports.answer("127.0.0.1", server.getsockname()[1])


@pytest.mark.parametrize(
    ("references", "server"),
    [
        (["ubuntu:24.04", "nginx:1.28.0-alpine"], "nginx:1.28.0-alpine"),
        (["mirror.example:5000/library/nginx"], "mirror.example:5000/library/nginx"),
        (["bitnami/nginx-exporter:1"], None),
        ([], None),
    ],
)
def test_the_page_comes_from_the_classs_own_web_server(
    references: list[str], server: str | None
) -> None:
    inputs = {"images_pull": [{"reference": one} for one in references]}

    assert ports.server_of(Machine("vm1", "a", 1, [], Connection("vm1"), Path(), inputs)) == server


def test_a_forwarded_port_is_asked_where_it_is_found_from_here() -> None:
    inputs = {"verify_forwards": {"3000": 14761}}
    behind = Machine("vm1", "a", 1, [], Connection("127.0.0.1", 14011), Path(), inputs)

    assert ports.seen_from_here(behind, 3000) == 14761
    assert ports.seen_from_here(behind, 8080) == 8080
    assert ports.seen_from_here(Machine("vm1", "a", 1, [], Connection("vm1"), Path()), 3000) == 3000
