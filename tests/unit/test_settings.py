"""labkit's settings for Ansible are defaults: whatever the instructor set himself wins."""

import shlex
from pathlib import Path

import pytest

from labkit.settings import environment, ssh_arguments


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return a class folder and a run folder, with no ansible.cfg and no settings around."""
    for variable in ("ANSIBLE_CONFIG", "ANSIBLE_PIPELINING", "ANSIBLE_SSH_EXTRA_ARGS"):
        monkeypatch.delenv(variable, raising=False)
    for folder in ("class", "run", "here"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "class", tmp_path / "run"


def test_unknown_host_keys_are_accepted_once_and_changed_ones_refused(
    places: tuple[Path, Path],
) -> None:
    chosen = environment(*places)

    assert "StrictHostKeyChecking=accept-new" in chosen["ANSIBLE_SSH_EXTRA_ARGS"]
    assert chosen["ANSIBLE_HOST_KEY_CHECKING"] == "True"


def test_what_the_environment_says_wins(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANSIBLE_PIPELINING", "False")
    monkeypatch.setenv("ANSIBLE_SSH_EXTRA_ARGS", "-o StrictHostKeyChecking=yes")
    chosen = environment(*places)

    assert chosen["ANSIBLE_PIPELINING"] == "False"
    # ssh takes the first value of an option.
    assert chosen["ANSIBLE_SSH_EXTRA_ARGS"].startswith("-o StrictHostKeyChecking=yes -o ")


def test_ansible_cfg_beside_the_inventory_wins(places: tuple[Path, Path]) -> None:
    (places[0] / "ansible.cfg").write_text(
        "[defaults]\ntimeout = 33 ; patience\n"
        "[ssh_connection]\npipelining = False\nssh_extra_args = -C\n"
    )
    chosen = environment(*places)

    assert chosen["ANSIBLE_CONFIG"] == str(places[0] / "ansible.cfg")
    assert chosen["ANSIBLE_TIMEOUT"] == "33"
    assert chosen["ANSIBLE_PIPELINING"] == "False"
    assert chosen["ANSIBLE_SSH_EXTRA_ARGS"].startswith("-C -o ")


def test_ansible_cfg_where_labkit_is_called_comes_second(places: tuple[Path, Path]) -> None:
    Path("ansible.cfg").write_text("[defaults]\ntimeout = 7\n")
    assert environment(*places)["ANSIBLE_TIMEOUT"] == "7"

    (places[0] / "ansible.cfg").write_text("[defaults]\ntimeout = 8\n")
    assert environment(*places)["ANSIBLE_TIMEOUT"] == "8"


def test_a_broken_ansible_cfg_is_left_for_ansible_to_complain_about(
    places: tuple[Path, Path],
) -> None:
    (places[0] / "ansible.cfg").write_text("no section\n")

    assert environment(*places)["ANSIBLE_CONFIG"] == str(places[0] / "ansible.cfg")


def test_a_class_may_lie_in_a_folder_with_blanks(tmp_path: Path) -> None:
    words = shlex.split(ssh_arguments(tmp_path / "my class", tmp_path / "my run"))
    known = next(word for word in words if word.startswith("UserKnownHostsFile="))

    assert f'"{tmp_path}/my class/known_hosts"' in known
    assert f'ControlPath="{tmp_path}/my run/%C"' in words
