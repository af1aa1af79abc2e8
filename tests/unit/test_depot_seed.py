"""labkit depot seed and bundle as they are typed, for a depot that is this controller itself."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import Labkit
from hub import Hub, serving

from labkit.lock import read_lock, write_lock

INVENTORY = """[machines]
vm1 ansible_host=127.0.0.1 ansible_port=9 ansible_user=nobody

[depot]
desk ansible_connection=local depot_address=192.0.2.2 depot_directory={directory}

[all:vars]
depot_reserve_mb=0
depot_upstreams={upstreams}
images_pull=[{{"reference": "ubuntu:24.04", "tags": ["ubuntu:here"]}}]
images_build=[]
images_database=""
"""
WORD = "s3cret"
LAYER = bytes(range(256)) * 20_000


class Room:
    """A class folder, its hub, and the command line."""

    def __init__(self, labkit: Labkit, hub: Hub, tmp_path: Path) -> None:
        self.labkit, self.hub = labkit, hub
        self.folder = labkit.folder
        self.directory = tmp_path / "depot"
        self.into(self.directory)
        # Root is what the depot's part runs as; here it is whoever tests.
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin/id").write_text("#!/bin/sh\necho 0\n")
        (tmp_path / "bin/id").chmod(0o755)
        self.variables = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def into(self, directory: Path) -> None:
        directory.mkdir()
        upstreams = json.dumps({"docker.io": self.hub.url})
        text = INVENTORY.format(directory=directory, upstreams=upstreams)
        (self.folder / "class.ini").write_text(text)

    def depot(self, verb: str, *more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(verb, *more),
            cwd=self.folder,
            env=self.labkit.environment({**self.variables, **variables}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def command(self, verb: str, *more: str) -> list[str]:
        # With all that root may do: it writes what belongs to the registry's user.
        return [sys.executable, "-m", "labkit", "depot", verb, "-i", "class.ini", *more]


@pytest.fixture
def room(labkit: Labkit, tmp_path: Path) -> Iterator[Room]:
    with serving(Hub()) as hub:
        hub.image("library/ubuntu", "24.04", LAYER, "amd64", "arm64")
        yield Room(labkit, hub, tmp_path)


def test_the_lock_says_what_was_seeded_and_a_bundle_brings_it_elsewhere(
    room: Room, tmp_path: Path
) -> None:
    done = room.depot("seed")
    lock = read_lock(room.folder)

    assert done.returncode == 0, done.stderr
    assert "vm1 does not tell its architecture" in done.stderr
    assert lock["ubuntu:24.04"].digest == room.hub.tags["library/ubuntu:24.04"]
    assert list(lock["ubuntu:24.04"].platforms) == ["amd64"]
    assert lock["ubuntu:24.04"].platforms["amd64"].bytes > len(LAYER)
    done = room.depot("bundle", "stock.tar")
    assert done.returncode == 0, done.stderr
    assert not (room.folder / "stock.tar.part").exists()

    (room.folder / "images.lock.yml").unlink()
    room.into(tmp_path / "other")
    room.hub.asked.clear()
    done = room.depot("seed", "--from", "stock.tar", "--json")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["type"] for line in done.stdout.splitlines()][-1] == "seeded"
    assert read_lock(room.folder) == lock
    assert room.hub.asked == []


def test_what_the_class_has_dropped_leaves_the_lock_and_what_fails_stays(room: Room) -> None:
    room.depot("seed")
    ubuntu = read_lock(room.folder)["ubuntu:24.04"]
    write_lock(room.folder, {"ubuntu:24.04": ubuntu, "dropped:1": ubuntu})
    room.hub.tags.clear()

    assert room.depot("seed", "--update").returncode == 1
    assert read_lock(room.folder) == {"ubuntu:24.04": ubuntu}


def test_a_bundle_that_is_cut_off_is_refused(room: Room, tmp_path: Path) -> None:
    room.depot("seed")
    room.depot("bundle", "stock.tar")
    data = (room.folder / "stock.tar").read_bytes()
    (room.folder / "stock.tar").write_bytes(data[: len(data) // 2])
    room.into(tmp_path / "other")
    done = room.depot("seed", "--from", "stock.tar")

    assert done.returncode == 1
    assert "refused: it is truncated" in done.stderr
    (room.folder / "stock.tar").write_bytes(data[:100])
    assert room.depot("seed", "--from", "stock.tar").returncode == 2


def test_an_image_that_does_not_come_is_named_with_what_to_do(room: Room) -> None:
    room.hub.tags.clear()
    done = room.depot("seed")

    assert done.returncode == 1
    assert "ubuntu:24.04" in done.stderr
    assert "404" in done.stderr
    assert "→ check the name" in done.stderr


def test_a_depot_that_is_not_up_is_told(room: Room) -> None:
    room.directory.rmdir()
    done = room.depot("seed")

    assert done.returncode == 1
    assert "labkit depot up comes first" in done.stderr


def test_a_class_without_a_depot_is_told(room: Room) -> None:
    (room.folder / "class.ini").write_text("[machines]\nvm1\n")
    done = room.depot("seed")

    assert done.returncode == 2
    assert "has no depot" in done.stderr


def test_an_image_of_a_registry_at_a_port_is_refused(room: Room) -> None:
    inventory = room.folder / "class.ini"
    inventory.write_text(inventory.read_text().replace("ubuntu:24.04", "192.0.2.1:5000/app"))
    done = room.depot("seed")

    assert done.returncode == 2
    assert "192.0.2.1:5000/app comes from a registry at a port" in done.stderr
    assert room.hub.asked == []


def test_the_hubs_password_is_shown_nowhere(room: Room) -> None:
    room.hub.user = "ada"
    done = room.depot("seed", "--hub-user", "ada", LABKIT_HUB_TOKEN=WORD)

    assert done.returncode == 0, done.stderr
    assert WORD not in done.stdout + done.stderr
    token = room.folder / "token"
    token.write_text(WORD)
    token.chmod(0o644)
    done = room.depot("seed", "--hub-user", "ada", "--hub-token-file", "token")
    assert done.returncode == 2
    assert "chmod 600" in done.stderr
    assert stat.S_IMODE(token.stat().st_mode) == 0o644


def test_a_token_without_a_name_is_refused(room: Room) -> None:
    done = room.depot("seed", LABKIT_HUB_TOKEN=WORD)

    assert done.returncode == 2
    assert "--hub-user" in done.stderr
    assert WORD not in done.stderr
    assert room.hub.asked == []


def test_nothing_that_a_seed_starts_inherits_the_token(room: Room, tmp_path: Path) -> None:
    # It is asked by each login shell, so that its environment is one of the depot's part.
    (tmp_path / "bin/id").write_text(f"#!/bin/sh\nenv >{tmp_path}/environment\necho 0\n")
    room.hub.user = "ada"

    assert room.depot("seed", "--hub-user", "ada", LABKIT_HUB_TOKEN=WORD).returncode == 0
    assert "PATH=" in (tmp_path / "environment").read_text()
    assert WORD not in (tmp_path / "environment").read_text()


def test_ctrl_c_leaves_what_can_be_gone_on_with(room: Room) -> None:
    room.hub.faults["blobs"] = ["hang"] * 99
    with subprocess.Popen(
        # A shell's background has signals ignored, and hands that on.
        ["env", "--default-signal", *room.command("seed")],
        cwd=room.folder,
        env=room.labkit.environment(room.variables),
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        end = time.monotonic() + 20
        while not room.hub.count("blobs"):
            assert time.monotonic() < end
            time.sleep(0.1)
        running.send_signal(signal.SIGINT)
        try:
            _, said = running.communicate(timeout=20)
        finally:
            running.kill()

    assert running.returncode == 130
    assert "labkit depot seed -i class.ini" in said
    room.hub.faults.clear()
    assert room.depot("seed").returncode == 0
