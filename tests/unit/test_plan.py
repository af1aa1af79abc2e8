"""What a plan reckons, and says; its numbers are those that an instructor decides by."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from commandline import Labkit

from labkit.classroom import Machine
from labkit.depot.stock.registry import RegistryError
from labkit.depot.stock.upstream import Blob, Image, Limits, Manifest, Platform
from labkit.errors import LabkitError
from labkit.lock import Locked, Pinned
from labkit.plan import look, page
from labkit.plan.judgement import judge_class, judge_images, judge_machines
from labkit.plan.line import Speed, measure, packages
from labkit.plan.loads import Load, Stock, Totals, load, stock, totals
from labkit.plan.outcome import Plan
from labkit.plan.sizes import Sized, Sizes, by_lock, sized
from labkit.ssh import Connection

MB = 10**6
UNTOLD = Limits(None, None, None)
UBUNTU = Sized("ubuntu:24.04", frozenset({"sha256:u"}), {"sha256:base": 30 * MB, "sha256:u": 1})
NODE = Sized("node:24-slim", frozenset({"sha256:n"}), {"sha256:base": 30 * MB, "sha256:n": 50 * MB})
SIZES: Sizes = {(one.reference, "amd64"): one for one in (UBUNTU, NODE)}
INPUTS: Mapping[str, Any] = {
    "images_pull": [{"reference": "ubuntu:24.04", "disk_mb": 150}, {"reference": "node:24-slim"}],
    "preflight_docker_disk_mb": 1900,
    "images_reserve_mb": 1024,
    "depot_packages_mb": 4096,
    "depot_reserve_mb": 1024,
}


def seen(**more: Any) -> dict[str, Any]:
    """Return what a bare machine says of itself."""
    return {
        "architecture": "amd64",
        "system": "Debian GNU/Linux 13 (trixie)",
        "disk": "/var/lib/docker",
        "free_mb": 9000,
        "engine": False,
        "has_depot": False,
        "names": [],
        "digests": [],
        "held": [],
        "packages_mb": 0,
        **more,
    }


def loaded(name: str = "vm1", sizes: Sizes | None = None, **more: Any) -> Load:
    machine = Machine(name, name, 1, Connection(name), INPUTS)
    names = [one["reference"] for one in INPUTS["images_pull"]]
    return load(machine, names, seen(**more), SIZES if sizes is None else sizes)


def planned(loads: tuple[Load, ...], depot: Stock | None = None, **more: Any) -> Plan:
    limits, speed = more.get("limits", UNTOLD), more.get("speed", Speed(0, "not measured: no way"))
    carried = (600 * MB, 200 * MB)
    return Plan(
        loads, depot, depot is not None, totals(loads, depot), carried, limits, speed, "a lock"
    )


def test_a_layer_that_images_share_travels_once_to_a_machine() -> None:
    assert loaded().bytes == 80 * MB + 1


def test_each_machine_without_a_depot_carries_it_all_over_the_line() -> None:
    found = totals([loaded("vm1"), loaded("vm2"), loaded("vm3")], None)

    assert found == Totals(3 * (80 * MB + 1), 80 * MB + 1, 6, 2)


def test_each_architecture_counts_for_itself() -> None:
    arm = Sized("ubuntu:24.04", frozenset({"sha256:a"}), {"sha256:a": 28 * MB})
    both = {**SIZES, ("ubuntu:24.04", "arm64"): arm}
    one = loaded("vm2", both, architecture="arm64")

    assert one.unknown == ("node:24-slim",)
    assert totals([loaded("vm1"), one], None).depot_pulls == 2 + 1 + 1


def test_what_an_engine_has_does_not_travel_again() -> None:
    one = loaded(names=["<none>:<none>", "docker.io/library/ubuntu:24.04"], engine=True)

    assert one.present == ("ubuntu:24.04",)
    assert [image.reference for image in one.missing] == ["node:24-slim"]
    assert one.disk_needed == 250 + 1024


def test_an_image_of_the_name_but_not_of_the_lock_travels() -> None:
    lock = by_lock({"ubuntu:24.04": Locked("sha256:index", {"amd64": Pinned("sha256:m", 30)})})

    assert loaded(sizes=lock, names=["ubuntu:24.04"]).missing == (lock["ubuntu:24.04", "amd64"],)
    assert loaded(sizes=lock, digests=["sha256:index"]).present == ("ubuntu:24.04",)


def test_an_image_of_another_registry_is_no_pull_of_docker_hubs() -> None:
    other = Sized("ghcr.io/a/b:1", frozenset({"sha256:g"}), {"sha256:g": 5})

    assert not other.hub
    assert UBUNTU.hub


def test_an_image_weighs_what_its_manifests_and_blobs_do() -> None:
    index, mine, other = (Manifest(f"sha256:{one}", "", b"12345") for one in "imo")
    platform = Platform("sha256:m", (Blob("sha256:c", 10), Blob("sha256:l", 100)))
    image = Image("a", "library/a", "sha256:i", {"amd64": platform}, (mine, other, index))

    assert sized(image, "amd64").bytes == image.size("amd64") == 120


def test_a_depot_fetches_what_it_does_not_hold() -> None:
    missing = [*loaded("vm1").missing, *loaded("vm2").missing]
    found = stock("depot", INPUTS, seen(held=["sha256:base", "sha256:u"]), missing)

    assert (found.bytes, found.pulls) == (50 * MB, 1)
    assert found.disk_needed == 48 + 4096 + 1024


def test_a_depot_needs_no_room_for_what_it_has_taken_already() -> None:
    missing = loaded().missing
    held = [blob for one in missing for blob in one.blobs]

    assert stock("depot", INPUTS, seen(packages_mb=4000), missing).disk_needed == 77 + 96 + 1024
    assert stock("depot", INPUTS, seen(packages_mb=9000), missing).disk_needed == 77 + 1024
    assert stock("depot", INPUTS, seen(held=held), missing).disk_needed == 0


def test_packages_are_one_download_for_each_distribution_with_a_depot() -> None:
    three = ["Debian", "Debian", "Ubuntu"]

    assert packages(three, once=False) == 3 * packages(["Debian"], once=False)
    assert packages(three, once=True) < packages(["Debian", "Ubuntu"], once=False)
    assert packages([], once=True) == 0


def test_a_machine_that_can_do_it_is_not_warned_of() -> None:
    assert list(judge_machines([loaded()], {})) == []


def test_a_disk_that_is_too_small_is_named_with_both_numbers() -> None:
    (warned,) = judge_machines([loaded(free_mb=1000)], {})

    assert warned.about == "vm1"
    assert warned.what == "1000 MiB free at /var/lib/docker, 1900 needed"
    assert "images_pull" in warned.todo
    assert warned.stops


def test_a_machine_that_has_it_all_needs_no_more_disk() -> None:
    there = loaded(free_mb=100, engine=True, names=["ubuntu:24.04", "node:24-slim"])

    assert list(judge_machines([there], {})) == []


def test_an_unreachable_machine_is_named_and_the_rest_is_planned() -> None:
    (warned,) = judge_machines([loaded()], {"vm9": "No route to host"})

    assert (warned.about, warned.stops) == ("vm9", True)
    assert "No route to host" in warned.what


def test_a_limit_that_is_too_low_is_told_with_what_a_depot_would_need() -> None:
    loads = tuple(loaded(f"vm{number}") for number in range(30))
    (warned,) = judge_class(planned(loads, limits=Limits(100, 40, 21600)))

    assert warned.about == "Docker Hub"
    assert warned.what == ("60 pulls are needed, 40 of 100 per 6 hours are left for this address")
    assert "add a depot, which needs 2" in warned.todo


def test_a_limit_that_is_used_up_is_told_whatever_it_was() -> None:
    (warned,) = judge_class(planned((loaded(),), limits=Limits(None, 0, None)))

    assert warned.what == "2 pulls are needed, 0 are left for this address"


def test_a_limit_that_is_high_enough_is_no_warning() -> None:
    assert not list(judge_class(planned((loaded(),), limits=Limits(100, 2, 21600))))


def test_with_a_depot_it_is_the_depots_pulls_that_count() -> None:
    loads = tuple(loaded(f"vm{number}") for number in range(30))
    one = Stock("depot", 80 * MB, 2, "/srv", 10, 20)

    assert not list(judge_class(planned(loads, one, limits=Limits(100, 40, 21600))))
    (warned,) = judge_class(planned(loads, one, limits=Limits(100, 1, 21600)))
    assert "--hub-user" in warned.todo


def test_a_depot_whose_disk_is_too_small_is_named() -> None:
    (warned,) = judge_class(planned((loaded(),), Stock("depot", 1, 0, "/srv", 6000, 5000)))

    assert (warned.about, warned.stops) == ("depot", True)
    assert warned.what.startswith("5000 MiB free at /srv, 6000 needed")


def test_a_line_that_takes_too_long_is_told_with_its_hours() -> None:
    loads = tuple(loaded(f"vm{number}") for number in range(30))
    (warned,) = judge_class(planned(loads, speed=Speed(0.25 * MB, "an estimate")))

    assert warned.what.startswith("3.3 hours at 2.0 Mbit/s for 3.0 GB")
    assert "add a depot: 0.3 hours" in warned.todo


def test_images_that_one_registry_keeps_quiet_about_are_one_warning() -> None:
    silent = RegistryError("docker.io does not answer", "mend the way")
    (warned,) = judge_images({"ubuntu": silent, "node": silent})

    assert (warned.about, warned.stops) == ("ubuntu, node", False)


@pytest.mark.parametrize(
    "error",
    [None, LabkitError("nothing for arm64", "take another"), RegistryError("404", "", status=404)],
)
def test_an_image_that_there_is_not_stops_a_plan(error: LabkitError | None) -> None:
    (warned,) = judge_images({"ubuntu": error})

    assert warned.stops


def test_the_page_says_both_ways_and_where_its_numbers_are_from() -> None:
    plan = planned((loaded("vm1"), loaded("vm2")), speed=Speed(10 * MB, "an estimate: 30 MB"))
    said = "\n".join(page.lines(plan))

    assert "images, by a lock:" in said
    assert "without a depot  160 MB" in said
    assert "with a depot     80 MB" in said
    assert "packages and modules: 600 MB without, 200 MB with a depot\n  an estimate" in said
    assert "4 pulls without a depot, 2 with a depot; no limit is told" in said
    assert "time at 80 Mbit/s: 1 min without a depot, 0 min with a depot" in said
    assert page.rows(plan)[0] == ("vm1", "amd64", "0", "2", "80", "9000 / 1900")


def test_a_size_that_nobody_knows_is_seen_in_the_row() -> None:
    (row,) = page.rows(planned((loaded(sizes={}),)))

    assert row[3:5] == ("0 + 2?", "0 + ?")


def test_the_objects_can_be_printed_and_say_whether_it_works() -> None:
    said = json.loads(json.dumps(list(page.objects(planned((loaded(),))))))

    assert [one["type"] for one in said] == ["machine", "class"]
    assert said[0]["missing"][1] == {"reference": "node:24-slim", "bytes": 80 * MB}
    assert said[1]["works"] is True


def test_a_line_that_cannot_be_measured_says_why() -> None:
    assert measure(None, {}, "vm1", lambda _: {}).told.startswith("not measured: ")
    assert measure(None, {}, "vm1", lambda _: {}).minutes(5) is None


def test_a_machine_tells_its_system_and_what_its_store_holds(tmp_path: Path) -> None:
    data = tmp_path / "store/docker/registry/v2/blobs/sha256/ab/abc/data"
    data.parent.mkdir(parents=True)
    data.touch()

    assert look.system('NAME="D"\nPRETTY_NAME="Debian GNU/Linux 13"\n') == "Debian GNU/Linux 13"
    assert look.held(tmp_path, ["sha256:abc", "sha256:abd"]) == ["sha256:abc"]
    # Seeding keeps a manifest before any layer that it names.
    data.write_text(json.dumps({"config": {"digest": "sha256:c0"}, "layers": []}))
    assert look.held(tmp_path, ["sha256:abc"]) == []
    (config := data.parents[2] / "c0/c0/data").parent.mkdir(parents=True)
    config.touch()
    assert look.held(tmp_path, ["sha256:abc"]) == ["sha256:abc"]
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages/a").write_bytes(b"x" * 2 * look.MIB)
    assert look.taken_mb(tmp_path / "packages") == 2
    assert look.free_mb(tmp_path / "not" / "yet") > 0


# Nobody listens at these, so that nothing is waited for.
NOBODY = """[machines]
vm1 ansible_host=127.0.0.1 ansible_port=9
[machines:vars]
depot_upstreams={"docker.io": "http://127.0.0.1:9"}
"""


def test_a_class_that_is_off_is_planned_all_the_same_and_cannot_work(labkit: Labkit) -> None:
    (labkit.folder / "class.ini").write_text(NOBODY)
    done = labkit("plan", "-i", "class.ini", "--json")
    said = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 1, done.stderr
    assert [one["type"] for one in said] == ["class", "warning"]
    assert said[1]["about"] == "vm1"
    assert "refused" in said[1]["what"]


def test_a_limit_that_leaves_no_machine_is_bad_input(labkit: Labkit) -> None:
    (labkit.folder / "class.ini").write_text(NOBODY)

    assert labkit("plan", "-i", "class.ini", "--limit", "vm7").returncode == 2


def test_what_is_sent_to_a_machine_answers_with_python_alone() -> None:
    said = subprocess.run(
        [sys.executable, "-I", look.__file__], input=b"{}\n", capture_output=True, check=True
    )

    assert json.loads(said.stdout).keys() == seen().keys()


def test_a_sample_ends_when_its_time_is_over_and_counts_what_came(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(bytes(100_000))
    got = look.sample((tmp_path / "blob").as_uri(), {}, 3)

    assert got["bytes"] == 100_000
    assert 0 < got["seconds"] < 3
