"""What keeps an attendee from logging in."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils import labkit_sshd_rules as rules

ROLE = Path(__file__).parents[2] / "roles/attendee"
login = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_attendee_login.py")))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ("passwordauthentication yes\n", ""),
        ("allowusers instructor\n", "AllowUsers"),
        ("allowusers instructor\nallowusers stud*\n", ""),
        ("allowusers * !student\n", "AllowUsers"),
        ("allowusers student@192.0.2.*\n", ""),
        ("denyusers stud?nt\n", "DenyUsers"),
        ("denyusers guest\n", ""),
        ("allowgroups sudo\n", "AllowGroups"),
        ("allowgroups sudo docker\n", ""),
        ("denygroups docker\n", "DenyGroups"),
    ],
)
def test_the_setting_that_shuts_the_attendee_out_is_named(settings: str, rule: str) -> None:
    read = rules.read_settings(settings)

    assert rules.shut_out_by(read, "student", ["student", "docker"]) == rule


def test_only_keys_that_are_new_are_added(tmp_path: Path) -> None:
    login.authorize(tmp_path, ["ssh-ed25519 AAAA one"])
    before = (tmp_path / ".ssh/authorized_keys").read_text()

    keys = ["ssh-ed25519 AAAA one\n", "ssh-ed25519 BBBB two"]
    assert login.missing_keys(tmp_path, keys) == ["ssh-ed25519 BBBB two"]
    login.authorize(tmp_path, ["ssh-ed25519 BBBB two"])

    path = tmp_path / ".ssh/authorized_keys"
    assert path.read_text() == before + "ssh-ed25519 BBBB two\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_password_is_enabled_for_the_attendee_only() -> None:
    lines = login.drop_in("student").splitlines()

    assert lines.index("Match User student") < lines.index("    PasswordAuthentication yes")
    assert lines[-1] == "Match all"
