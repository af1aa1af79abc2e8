"""A depot from its first minute to its last: it serves, it goes on alone, it leaves nothing."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import MACHINES, Answer, Room, labkit
from snapshot import Snapshot, take

pytestmark = pytest.mark.machines

MOST_OF_A_SECOND_RUN = 60


@pytest.fixture(scope="module")
def class_with_depot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    room = Room(tmp_path_factory.mktemp("depot"))
    made = labkit(
        *("sandbox", "up", str(room.directory), "--depot"),
        *("--seats", "1", "--machines-per-seat", "1"),
    )
    try:
        assert made.code == 0, made.stderr
        yield room
    finally:
        labkit("sandbox", "down", str(room.directory))


@pytest.fixture(scope="module")
def before(class_with_depot: Room) -> Snapshot:
    return take(lambda line: class_with_depot.as_root("depot", line))


@pytest.fixture(scope="module")
def up(class_with_depot: Room, before: Snapshot) -> Answer:
    assert before.files
    return depot(class_with_depot, "up")


def depot(room: Room, verb: str, *arguments: str) -> Answer:
    return labkit("depot", verb, "-i", str(room.inventory), "--json", *arguments)


def get(room: Room, path: str, port: int = 5080) -> tuple[int, bytes]:
    """Ask the depot as a machine of the class does, from its network."""
    address = room.address("depot")
    try:
        with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def through(room: Room, url: str) -> int:
    """Return the status that the depot, as a proxy, answers with."""
    proxy = urllib.request.ProxyHandler({"http": f"http://{room.address('depot')}:3142"})
    try:
        with urllib.request.build_opener(proxy).open(url, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def package_list(room: Room) -> str:
    """Return the URL of a package list that the depot's machine itself would ask for."""
    form = "\\$(REPO_URI)dists/\\$(CODENAME)/InRelease"
    listed = room.as_root("depot", f'apt-get indextargets --format "{form}"')
    return next(line for line in listed.splitlines() if line.startswith("http://"))


def test_the_depot_is_no_machine_of_the_class(class_with_depot: Room) -> None:
    shown = labkit("sandbox", "status", str(class_with_depot.directory), "--json")

    assert [one["name"] for one in json.loads(shown.stdout)["machines"]] == ["depot", MACHINES[0]]
    assert "group_vars" in {one.name for one in class_with_depot.directory.iterdir()}


def test_a_dry_run_goes_through_on_a_bare_machine(class_with_depot: Room, before: Snapshot) -> None:
    answer = depot(class_with_depot, "up", "--check")

    assert answer.states == {"depot": "dry run"}, answer.explain()
    assert take(lambda line: class_with_depot.as_root("depot", line)).files == before.files


def test_a_bare_machine_becomes_a_depot(up: Answer) -> None:
    assert up.code == 0, up.explain()
    assert up.states == {"depot": "ready"}


def test_a_second_run_changes_nothing(class_with_depot: Room, up: Answer) -> None:
    assert up.code == 0
    again = depot(class_with_depot, "up")

    assert again.verdicts["depot"]["changed"] == 0, again.explain()
    assert again.seconds < MOST_OF_A_SECOND_RUN


def test_it_answers_the_class_network(class_with_depot: Room, up: Answer) -> None:
    assert up.code == 0

    assert json.loads(get(class_with_depot, "/labkit")[1])["labkit"] == "depot"
    assert get(class_with_depot, "/v2/library/hello-world/manifests/latest")[0] == 200
    assert get(class_with_depot, "/npm/express")[0] == 200
    assert through(class_with_depot, package_list(class_with_depot)) == 200


def test_its_registries_are_not_to_be_had_through_its_proxy(
    class_with_depot: Room, up: Answer
) -> None:
    assert up.code == 0
    assert through(class_with_depot, "http://127.0.0.1:5082/v2/") == 403


def test_a_room_without_internet_is_answered_from_what_was_kept(
    class_with_depot: Room, up: Answer
) -> None:
    assert up.code == 0
    asked = package_list(class_with_depot)
    assert through(class_with_depot, asked) == 200
    assert get(class_with_depot, "/npm/express")[0] == 200
    class_with_depot.as_root(
        "depot",
        "cp /etc/resolv.conf /root/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf",
    )
    try:
        class_with_depot.as_root("depot", "systemctl restart labkit-depot-nginx; sleep 2")

        assert through(class_with_depot, asked) == 200
        assert get(class_with_depot, "/npm/express")[0] == 200
        assert get(class_with_depot, "/npm/labkit-has-no-such-module")[0] == 502
    finally:
        class_with_depot.as_root(
            "depot",
            "cat /root/resolv.conf >/etc/resolv.conf; rm /root/resolv.conf;"
            "systemctl reload labkit-depot-nginx",
        )


def test_the_status_counts_and_names_what_is_missing(class_with_depot: Room, up: Answer) -> None:
    assert up.code == 0
    answer = depot(class_with_depot, "status")
    said = json.loads(answer.stdout)

    assert answer.code == 1, answer.stderr
    assert "hello-world" in " ".join(said["missing"])
    assert said["served"]["packages"]["hit"] > 0
    assert said["free"] > 0


def test_a_depot_whose_service_cannot_start_is_not_ready(
    class_with_depot: Room, up: Answer
) -> None:
    assert up.code == 0
    answer = depot(class_with_depot, "up", "-e", "depot_port=22")

    assert answer.code == 1
    assert answer.states == {"depot": "not ready"}
    assert depot(class_with_depot, "up").code == 0


def test_up_of_the_sandbox_without_the_option_keeps_the_depot(
    class_with_depot: Room, up: Answer
) -> None:
    assert up.code == 0
    again = labkit(
        *("sandbox", "up", str(class_with_depot.directory)),
        *("--seats", "1", "--machines-per-seat", "1"),
    )

    assert again.code == 0, again.stderr
    assert "[depot]" in class_with_depot.inventory.read_text()


def test_what_is_taken_down_leaves_nothing(
    class_with_depot: Room, up: Answer, before: Snapshot
) -> None:
    assert up.code == 0
    answer = depot(class_with_depot, "down")
    left = take(lambda line: class_with_depot.as_root("depot", line)).files

    assert answer.code == 0, answer.explain()
    assert [one for one in set(left) - set(before.files) if "labkit" in str(one)] == []
    assert not Path(class_with_depot.directory, "images.lock.yml").exists()
    assert depot(class_with_depot, "status").code == 1
