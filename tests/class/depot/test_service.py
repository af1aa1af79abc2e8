"""A depot from its first minute to its last: it serves, it goes on alone, it leaves nothing."""

import json
import urllib.error
import urllib.request

import pytest
from conftest import MACHINES, Answer, Room, labkit
from snapshot import Snapshot, take

from .conftest import depot

pytestmark = pytest.mark.machines

MOST_OF_A_SECOND_RUN = 60
# What is not asked for, a registry does not give; other answers are all the same to it.
MANIFESTS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*"
)


def get(room: Room, path: str, port: int = 5080) -> tuple[int, bytes]:
    """Ask the depot as a machine of the class does, from its network."""
    url = f"http://{room.address('depot')}:{port}{path}"
    try:
        asked = urllib.request.Request(url, headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
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


def test_the_depot_is_no_machine_of_the_class(depot_class: Room) -> None:
    shown = labkit("sandbox", "status", str(depot_class.directory), "--json")

    assert [one["name"] for one in json.loads(shown.stdout)["machines"]] == ["depot", *MACHINES]
    assert "group_vars" in {one.name for one in depot_class.directory.iterdir()}


def test_a_dry_run_goes_through_on_a_bare_machine(depot_class: Room, before: Snapshot) -> None:
    answer = depot(depot_class, "up", "--check")

    assert answer.states == {"depot": "dry run"}, answer.explain()
    assert take(lambda line: depot_class.as_root("depot", line)).files == before.files


def test_a_bare_machine_becomes_a_depot(up: Answer) -> None:
    assert up.code == 0, up.explain()
    assert up.states == {"depot": "ready"}


def test_a_second_run_changes_nothing(serving: Room) -> None:
    again = depot(serving, "up")

    assert again.verdicts["depot"]["changed"] == 0, again.explain()
    assert again.seconds < MOST_OF_A_SECOND_RUN


def test_it_answers_the_class_network(serving: Room) -> None:

    assert json.loads(get(serving, "/labkit")[1])["labkit"] == "depot"
    assert get(serving, "/v2/library/hello-world/manifests/latest")[0] == 200
    assert get(serving, "/npm/express")[0] == 200
    assert through(serving, package_list(serving)) == 200


def test_its_registries_are_not_to_be_had_through_its_proxy(serving: Room) -> None:
    assert through(serving, "http://127.0.0.1:5082/v2/") == 403


def test_a_room_without_internet_is_answered_from_what_was_kept(serving: Room) -> None:
    asked = package_list(serving)
    assert through(serving, asked) == 200
    assert get(serving, "/npm/express")[0] == 200
    serving.as_root(
        "depot",
        "cp /etc/resolv.conf /root/resolv.conf; echo nameserver 192.0.2.1 >/etc/resolv.conf",
    )
    try:
        serving.as_root("depot", "systemctl restart labkit-depot-nginx; sleep 2")

        assert through(serving, asked) == 200
        assert get(serving, "/npm/express")[0] == 200
        assert get(serving, "/npm/labkit-has-no-such-module")[0] == 502
    finally:
        serving.as_root(
            "depot",
            "cat /root/resolv.conf >/etc/resolv.conf; rm /root/resolv.conf;"
            "systemctl reload labkit-depot-nginx",
        )


def test_the_status_counts_and_names_what_is_missing(serving: Room) -> None:
    answer = depot(serving, "status")
    said = json.loads(answer.stdout)

    assert answer.code == 1, answer.stderr
    assert "hello-world" in " ".join(said["missing"])
    assert said["served"]["packages"]["hit"] > 0
    assert said["free"] > 0


def test_a_depot_whose_service_cannot_start_is_not_ready(serving: Room) -> None:
    answer = depot(serving, "up", "-e", "depot_port=22")

    assert answer.code == 1
    assert answer.states == {"depot": "not ready"}
    # It tries again and again; what a configuration is tested with stays there all the time.
    left = serving.as_root("depot", "systemctl stop labkit-depot-nginx; ls /run/labkit-depot")
    assert {"listen-3142.conf", "listen-5080.conf", "resolver.conf"} <= set(left.split())
    assert depot(serving, "up").code == 0


def test_up_of_the_sandbox_without_the_option_keeps_the_depot(serving: Room) -> None:
    again = labkit(
        *("sandbox", "up", str(serving.directory)),
        *("--seats", "1", "--machines-per-seat", str(len(MACHINES))),
    )

    assert again.code == 0, again.stderr
    assert "[depot]" in serving.inventory.read_text()
