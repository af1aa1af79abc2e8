"""What `labkit sandbox` promises: machines that are real enough, and a box as clean as before."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import LABKIT, Room, docker, labkit

pytestmark = pytest.mark.machines

OWN_FILES = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def status(directory: Path) -> dict:
    return json.loads(labkit("sandbox", "status", str(directory), "--json").stdout)


def up(directory: Path) -> None:
    made = labkit("sandbox", "up", str(directory), "--seats", "1", "--machines-per-seat", "1")
    assert made.code == 0, made.stderr


def down(directory: Path) -> None:
    gone = labkit("sandbox", "down", str(directory))
    assert gone.code == 0, gone.stderr


def is_registry(process: Path) -> bool:
    """Tell a registry that runs from one that only waits for its parent to take notice of its end."""
    try:
        alive = (process / "cwd").resolve(strict=True).is_dir()
        return alive and (process / "comm").read_text().strip() == "docker-registry"
    except OSError:
        return False


def inventory_of_the_box() -> dict[str, set[str]]:
    """Return all that a sandbox could leave behind: Docker's objects, files, processes."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labkit"
    return {
        "containers": set(docker("ps", "--all", "--quiet").split()),
        "networks": set(docker("network", "ls", "--quiet").split()),
        "volumes": set(docker("volume", "ls", "--quiet").split()),
        "folders": {str(path) for path in home.rglob("registry.pid")},
        "registries": {one.name for one in Path("/proc").glob("[0-9]*") if is_registry(one)},
    }


@pytest.fixture(scope="module")
def before(bare: Room) -> dict[str, set[str]]:
    assert bare.inventory.exists()
    return inventory_of_the_box()


@pytest.fixture(scope="module")
def second(before: dict, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sandbox of one machine beside the class."""
    assert before
    directory = tmp_path_factory.mktemp("second")
    try:
        up(directory)
        yield directory
    finally:
        labkit("sandbox", "down", str(directory))


def only(directory: Path) -> dict[str, str]:
    (machine,) = status(directory)["machines"]
    return machine


def container(directory: Path) -> str:
    """Return the id of the container that the folder's one machine is."""
    address = only(directory)["address"]
    listed = docker("ps", "--all", "--quiet", "--filter", "label=labkit.sandbox").split()
    shown = json.loads(docker("inspect", *listed))
    return next(one["Id"] for one in shown if address in json.dumps(one["NetworkSettings"]))


def test_two_sandboxes_live_side_by_side(bare: Room, second: Path) -> None:
    neighbours = status(bare.directory)["machines"]

    assert [machine["state"] for machine in neighbours] == ["running"] * 3
    assert only(second)["state"] == "running"
    assert only(second)["address"] not in {machine["address"] for machine in neighbours}


def test_up_again_keeps_the_machine_and_what_the_instructor_wrote(second: Path) -> None:
    machine = container(second)
    own = second / "group_vars" / "machines" / "mine.yml"
    own.write_text("venue: lab7\n")
    kept = {file: file.read_bytes() for file in second.rglob("*") if file.is_file()}

    up(second)

    assert container(second) == machine
    assert {file: file.read_bytes() for file in kept} == kept


def test_a_machines_own_files_survive_its_restart(second: Path) -> None:
    machine = container(second)
    for file in OWN_FILES:
        assert file not in docker("exec", machine, "cat", "/proc/self/mounts")
    docker(
        "exec", machine, "sh", "-c", "echo 192.0.2.7 kept >> /etc/hosts; echo kept >/etc/hostname"
    )
    resolving = docker("exec", machine, "cat", "/etc/resolv.conf")

    docker("restart", "--time", "5", machine)
    up(second)

    assert docker("exec", machine, "getent", "hosts", "kept").split()[0] == "192.0.2.7"
    assert docker("exec", machine, "hostname").strip() == "kept"
    assert docker("exec", machine, "cat", "/etc/resolv.conf") == resolving


def test_an_unknown_host_key_is_shown_and_kept(second: Path, tmp_path: Path) -> None:
    key = (second / "id_ed25519").absolute()
    inventory = tmp_path / "class.ini"
    inventory.write_text(
        f"[machines]\nvm ansible_host={only(second)['address']} ansible_user=instructor"
        f" ansible_ssh_private_key_file={key}\n"
    )

    for contact in ("first", "second"):
        answer = labkit("provision", "-i", str(inventory), "--json", "--check", "-t", "preflight")

        notes = json.dumps(answer.verdicts["vm"]["notes"])
        assert ("first contact: its" in notes and "SHA256:" in notes) == (contact == "first")
    known = (tmp_path / "known_hosts").read_text()
    assert only(second)["address"] in known
    assert any(
        " ".join(line.split()[1:3]) in (second / "known_hosts").read_text()
        for line in known.splitlines()
    )


def test_a_killed_up_is_gone_on_with_or_cleared_away(tmp_path: Path, before: dict) -> None:
    at_first = inventory_of_the_box()
    for line in ("starting the machines", "a registry at"):
        killed = subprocess.Popen(
            [*LABKIT, "sandbox", "up", str(tmp_path / "half"), "--machines-per-seat", "2"],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert killed.stderr
        if not any(line in told for told in killed.stderr):
            continue  # This box needs no registry.
        time.sleep(0.3)
        killed.send_signal(signal.SIGKILL)
        killed.wait()

        down(tmp_path / "half")

        assert inventory_of_the_box() == at_first, f"killed after: {line}"
    assert before
    up(tmp_path / "half")
    down(tmp_path / "half")
    assert inventory_of_the_box() == at_first


def test_down_takes_its_own_away_and_nothing_else(
    bare: Room, second: Path, before: dict[str, set[str]]
) -> None:
    (second / "notes.txt").write_text("the instructor's own")

    down(second)

    assert inventory_of_the_box() == before
    assert sorted(path.name for path in second.rglob("*") if path.is_file()) == [
        "mine.yml",
        "notes.txt",
    ]
    assert [one["state"] for one in status(bare.directory)["machines"]] == ["running"] * 3
    assert status(second)["machines"] == []
    down(second)
