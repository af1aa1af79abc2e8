"""The class folder is the sandbox's to write, and what is not the sandbox's stays."""

from pathlib import Path

import pytest

from labkit.errors import BadInput
from labkit.sandbox import classfolder

MACHINES = [
    ("seat01-vm1", "seat01", "198.18.7.11", {}),
    ("seat02-vm1", "seat02", "198.18.7.21", {}),
]


def told_nothing(line: str) -> None:
    pytest.fail(line)


def test_the_key_is_private_and_stays_the_same(tmp_path: Path) -> None:
    first = classfolder.write_class(tmp_path / "sandbox", MACHINES)
    second = classfolder.write_class(tmp_path / "sandbox", MACHINES)

    assert first == second
    assert (tmp_path / "sandbox" / "id_ed25519").stat().st_mode & 0o777 == 0o600


def test_git_sees_nothing_of_the_folder(tmp_path: Path) -> None:
    classfolder.write_class(tmp_path, MACHINES)

    assert "*" in (tmp_path / ".gitignore").read_text().splitlines()


def test_inputs_that_the_box_no_longer_forces_go_away(tmp_path: Path) -> None:
    classfolder.write_inputs(tmp_path, {"docker_engine": {"b": 1}}, told_nothing)
    classfolder.write_inputs(tmp_path, {"swarm_node": {"a": 2}}, told_nothing)
    folder = tmp_path / "group_vars" / "machines"

    assert [path.name for path in folder.iterdir()] == ["swarm_node.yml"]
    assert "a: 2" in (folder / "swarm_node.yml").read_text()


def test_a_file_of_inputs_that_somebody_else_wrote_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "group_vars" / "machines" / "swarm_node.yml"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("swarm_node_mesh: true\n")
    told: list[str] = []
    classfolder.write_inputs(tmp_path, {"swarm_node": {"swarm_node_mesh": False}}, told.append)

    assert theirs.read_text() == "swarm_node_mesh: true\n"
    assert len(told) == 1
    assert "swarm_node.yml" in told[0]


def test_known_hosts_has_the_real_keys_and_keeps_other_hosts(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("198.18.7.11 ssh-ed25519 OLD\nelsewhere ssh-ed25519 THEIRS\n")
    classfolder.write_known_hosts(tmp_path, {"198.18.7.11": ["ssh-ed25519 NEW", "ecdsa NEW"]})

    assert path.read_text().splitlines() == [
        "elsewhere ssh-ed25519 THEIRS",
        "198.18.7.11 ssh-ed25519 NEW",
        "198.18.7.11 ecdsa NEW",
    ]


def test_a_class_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "class.ini").write_text("[machines]\nreal ansible_host=192.0.2.1\n")
    (tmp_path / "logins.csv").touch()
    with pytest.raises(BadInput, match="not a sandbox's"):
        classfolder.check(tmp_path)
    classfolder.remove(tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {"class.ini", "logins.csv"}


def test_removing_leaves_nothing_of_the_class(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    classfolder.write_class(folder, MACHINES)
    classfolder.write_inputs(folder, {"swarm_node": {"swarm_node_mesh": False}}, told_nothing)
    classfolder.write_known_hosts(folder, {"198.18.7.11": ["ssh-ed25519 KEY"]})
    (folder / "logins.csv").touch()
    (folder / ".labkit").mkdir()
    classfolder.remove(folder)

    assert not folder.exists()


def test_removing_keeps_what_is_not_the_sandboxs(tmp_path: Path) -> None:
    classfolder.write_class(tmp_path, MACHINES)
    (tmp_path / "notes.txt").touch()
    classfolder.remove(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_depot_is_in_a_group_of_its_own_and_reached_like_the_others(tmp_path: Path) -> None:
    classfolder.write_class(tmp_path, MACHINES, "198.18.7.2")
    text = (tmp_path / "class.ini").read_text()

    assert "[depot]\ndepot ansible_host=198.18.7.2\n" in text
    assert "[all:vars]\nansible_user=" in text
    assert "depot" not in classfolder.inventory(MACHINES)


def test_a_depots_inputs_come_and_go_with_the_sandbox(tmp_path: Path) -> None:
    folder = tmp_path / "sandbox"
    classfolder.write_class(folder, MACHINES, "198.18.7.2")
    inputs = {"depot": {"depot_upstreams": {"docker.io": "http://198.18.7.1:5000"}}}
    classfolder.write_inputs(folder, inputs, told_nothing, group="depot")

    assert "198.18.7.1:5000" in (folder / "group_vars/depot/depot.yml").read_text()
    classfolder.remove(folder)
    assert not folder.exists()
