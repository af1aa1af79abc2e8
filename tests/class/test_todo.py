"""The to-do app on a provisioned machine, as the attendee, with the workshop's own commands."""

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import MACHINES, Room

pytestmark = pytest.mark.machines

VM1 = MACHINES[0]
ROOT = Path(__file__).parents[2]
VERSIONS = dict(re.findall(r"^(\w+)=(.+)$", (ROOT / "todo" / ".env").read_text(), re.MULTILINE))
MONGO = f"mongo:{VERSIONS['MONGO_VERSION']}"
SECONDS_FOR_THE_FIRST_UP = 30
TODOS = "http://localhost:3000/todos"
ADD = f"curl -sf -H 'Content-Type: application/json' -d '{{\"text\":\"%s\"}}' {TODOS}"
FULL = "docker compose -f docker-compose-full.yml"

Type = Callable[[str], str]


@pytest.fixture
def shell(room: Room) -> Iterator[Type]:
    """Type a line as the attendee; it has to succeed. All that was made is gone afterwards."""

    def type_(line: str) -> str:
        done = room.as_attendee(VM1, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    yield type_
    type_(f"cd todo && {FULL} down --volumes --remove-orphans")
    type_("docker ps -aq --filter name=^my- | xargs -r docker rm -fv")
    type_(
        "docker volume rm -f my-data; docker network rm -f my-net; docker rmi -f my-todo todo:1.0"
    )


def until(shell: Type, line: str, wanted: str, seconds: int = 40) -> str:
    """Type a line until it shows what is wanted."""
    deadline = time.monotonic() + seconds
    while wanted not in (said := shell(f"{line} || true")):
        assert time.monotonic() < deadline, f"{line}: {said}"
        time.sleep(0.5)
    return said


def texts(shell: Type) -> list[str]:
    return [todo["text"] for todo in json.loads(shell(f"curl -sf {TODOS}"))]


def test_the_minimal_image_tells_in_one_line_that_it_has_no_database(
    shell: Type, room: Room
) -> None:
    shell("cd todo && docker build -q -t my-todo .")
    done = room.as_attendee(VM1, "docker run --rm my-todo")

    assert done.returncode != 0
    said = (done.stdout + done.stderr).strip()
    assert said.startswith("Cannot reach the database at mongodb://localhost:27017/todo"), said
    assert "\n" not in said


def by_hand(shell: Type, storage: str) -> None:
    """Run a database and the app, joined by a network, as chapter 9 does."""
    shell(f"docker run -d --name my-db --network my-net --network-alias db {storage} {MONGO}")
    shell(
        "docker run -d --name my-app --network my-net -p 3000:3000 --restart on-failure"
        " -e DATABASE_URL=mongodb://db:27017/todo my-todo"
    )
    until(shell, f"curl -sf {TODOS}", "[")


@pytest.mark.parametrize(
    ("storage", "kept"),
    [("-v my-data:/data/db", True), ("-v ~/my-db:/data/db", True), ("", False)],
    ids=["volume", "bind mount", "nothing"],
)
def test_data_outlives_its_container_only_where_it_lies_outside(
    shell: Type, storage: str, *, kept: bool
) -> None:
    shell("cd todo && docker build -q -t my-todo . && docker network create my-net")
    try:
        by_hand(shell, storage)
        shell(ADD % "outlive it")
        shell("docker rm -fv my-db my-app")
        by_hand(shell, storage)

        assert texts(shell) == (["outlive it"] if kept else [])
    finally:
        shell("docker rm -fv my-db my-app; rm -rf my-db 2>/dev/null || true")
        # What a container's user wrote only a container's user can remove.
        shell("docker run --rm -v ~:/home ubuntu rm -rf /home/my-db")


def test_the_first_up_downloads_nothing_and_is_quick(shell: Type) -> None:
    began = time.monotonic()
    said = shell("cd todo && docker compose --progress plain up --build -d 2>&1")
    seconds = time.monotonic() - began

    assert seconds < SECONDS_FOR_THE_FIRST_UP
    assert not re.search("Pulling|Downloading|Extracting", said), said
    run = set(re.findall(r"#(\d+) \[(?:app )?[\w-]*\s?\d+/\d+\] RUN", said))
    assert run
    assert run <= set(re.findall(r"#(\d+) CACHED", said)), said
    until(shell, f"curl -sf {TODOS}", "[")


def test_compose_keeps_todos_and_rebuilds_only_what_changed(shell: Type) -> None:
    compose = "cd todo && docker compose"
    shell(f"{compose} up --build -d")
    until(shell, f"curl -sf {TODOS}", "[")
    shell(ADD % "survive")
    shell(f"{compose} stop && docker compose rm -f && docker compose up -d")
    until(shell, f"curl -sf {TODOS}", "survive")
    before = ids(shell)
    shell(
        "cp -p todo/public/index.html todo/index.mine && sed -i s/To-do/Mine/ todo/public/index.html"
    )
    try:
        shell(f"{compose} up --build -d")
        until(shell, "curl -sf http://localhost:3000/", "Mine list")
        after = ids(shell)
    finally:
        shell("mv todo/index.mine todo/public/index.html")

    assert after["db"] == before["db"]
    assert after["app"] != before["app"]


def ids(shell: Type) -> dict[str, str]:
    """Return service → container of the Compose project."""
    rows = shell(
        "docker ps --no-trunc --format '{{.Label \"com.docker.compose.service\"}} {{.ID}}'"
    )
    return dict(row.split() for row in rows.splitlines() if " " in row)


def ask(shell: Type, times: int) -> list[str]:
    """Return who answered so many requests; a failed one is an empty line."""
    one = "curl -s --max-time 5 -o - -w '\\n' http://localhost:3000/meta"
    said = shell(f"for i in $(seq {times}); do {one}; done")
    return [str(json.loads(line)["hostname"]) for line in said.splitlines() if line.strip()]


def test_a_balancer_follows_the_scale_and_loses_no_request(shell: Type) -> None:
    shell(f"cd todo && {FULL} up --build -d --scale app=3")
    until(shell, "curl -sf http://localhost:3000/todos", "[")
    for count in (3, 5, 2):
        shell(f"cd todo && {FULL} up -d --scale app={count} --no-recreate")
        deadline = time.monotonic() + 30
        while len(set(ask(shell, 20))) != count and time.monotonic() < deadline:
            time.sleep(0.5)
        answered = ask(shell, 60)

        assert len(answered) == 60, f"{60 - len(answered)} of 60 requests failed"
        assert len(set(answered)) == count


def test_an_app_that_dies_is_started_again(shell: Type) -> None:
    shell("cd todo && docker compose up -d")
    until(shell, f"curl -sf {TODOS}", "[")
    count = "docker inspect -f '{{.RestartCount}} {{.State.Running}}' todo-app-1"
    assert shell(count).split() == ["0", "true"]

    # The engine takes a `docker kill` for the attendee's wish; the process has to end by itself.
    shell("docker exec todo-app-1 kill 1 || true")

    until(shell, count, "1 true")
    until(shell, f"curl -sf {TODOS}", "[")
