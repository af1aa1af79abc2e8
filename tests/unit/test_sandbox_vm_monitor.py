"""What is said to QEMU and to the agent, over sockets as they make them."""

import base64
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from labkit.errors import ControllerError
from labkit.sandbox.vm.monitor import AGENT, MONITOR, Agent, Monitor, Silent

Answer = Callable[[dict[str, Any]], list[bytes]]
Serve = Callable[[str, Answer, bytes], Path]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    # Deeper than a socket's path may be long.
    folder = tmp_path / ("x" * 60) / ("y" * 60)
    folder.mkdir(parents=True)
    # As QEMU does: bound by a short name, from within the folder.
    monkeypatch.chdir(folder)
    listening: list[socket.socket] = []

    def serve(name: str, answer: Answer, greeting: bytes = b"") -> Path:
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        server.listen()
        listening.append(server)

        def attend() -> None:
            connection = server.accept()[0]
            with connection, connection.makefile("rb") as lines:
                connection.sendall(greeting)
                for line in lines:
                    for said in answer(json.loads(line.lstrip(b"\xff"))):
                        connection.sendall(said)

        Thread(target=attend, daemon=True).start()
        return folder

    yield serve
    for one in listening:
        one.close()


def line(**value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


GREETING = line(QMP={"version": {}})


def test_an_answer_is_told_from_events(serve: Serve) -> None:
    def answer(asked: dict[str, Any]) -> list[bytes]:
        told = {"status": asked["execute"]}
        return [line(event="RESUME"), line(**{"return": told}), line(event="STOP")]

    with Monitor(serve(MONITOR, answer, GREETING)) as monitor:
        assert monitor.ask("query-status") == {"status": "query-status"}
        assert monitor.ask("query-kvm") == {"status": "query-kvm"}


def test_a_refusal_is_told_in_qemus_words(serve: Serve) -> None:
    def answer(asked: dict[str, Any]) -> list[bytes]:
        if asked["execute"] == "migrate":
            return [line(error={"desc": "State blocked by non-migratable device 'nvme'"})]
        return [line(**{"return": {}})]

    with (
        Monitor(serve(MONITOR, answer, GREETING)) as monitor,
        pytest.raises(ControllerError, match="refused migrate: State blocked"),
    ):
        monitor.ask("migrate", uri="exec:cat")


def test_one_that_says_nothing_is_silent(serve: Serve) -> None:
    folder = serve(MONITOR, lambda _: [], b"")

    with pytest.raises(Silent):
        Monitor(folder, seconds=0.2)


def test_where_nobody_listens_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Monitor(tmp_path)


def agent_that(*states: dict[str, Any]) -> Answer:
    left = list(states)

    def answer(asked: dict[str, Any]) -> list[bytes]:
        match asked["execute"]:
            case "guest-sync-delimited":
                # Somebody before us did not wait for what was said to them.
                stale = line(**{"return": 1}) + line(error={"desc": "stale"})[:-3]
                number = {"return": asked["arguments"]["id"]}
                return [stale, b"\xff" + line(**number)]
            case "guest-exec":
                return [line(**{"return": {"pid": 7}})]
            case _:
                return [line(**{"return": left.pop(0)})]

    return answer


def test_what_a_command_on_the_machine_said_is_had_when_it_has_ended(serve: Serve) -> None:
    said = {
        key: base64.b64encode(word).decode()
        for key, word in (("out-data", b"a"), ("err-data", b"b"))
    }
    folder = serve(
        AGENT, agent_that({"exited": False}, {"exited": True, "exitcode": 3, **said}), b""
    )

    with Agent(folder) as agent:
        assert agent.run("/bin/true") == (3, "ab")


def test_a_command_that_a_signal_ended_did_not_end_well(serve: Serve) -> None:
    with Agent(serve(AGENT, agent_that({"exited": True, "signal": 9}), b"")) as agent:
        assert agent.run("/bin/true") == (-1, "")
