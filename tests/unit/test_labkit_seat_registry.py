"""The class's certificate authority, and certificates that are issued once and renewed in time."""

import datetime as dt
import runpy
import stat
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
here = SimpleNamespace(**runpy.run_path(str(ROLE / "action_plugins/labkit_seat_registry.py")))
there = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_seat_registry.py")))

HOSTS = ["vm1", "seat01-vm1", "192.0.2.11"]


def later(monkeypatch: pytest.MonkeyPatch, days: int) -> None:
    """Set the plugin's clock forward."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    monkeypatch.setitem(here.lasts.__globals__, "now", lambda: moment)


def make(folder: str) -> bytes:
    plugin = runpy.run_path(str(ROLE / "action_plugins/labkit_seat_registry.py"))
    plugin["ensure_authority"](Path(folder))
    return (Path(folder) / "registry-ca.crt").read_bytes()


def test_forks_that_come_at_once_make_one_authority(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        made = set(pool.map(make, [str(tmp_path)] * 4))

    assert len(made) == 1
    assert stat.S_IMODE((tmp_path / "registry-ca.key").stat().st_mode) == 0o600
    assert {one.name for one in tmp_path.iterdir()} == {"registry-ca.crt", "registry-ca.key"}


def test_looking_makes_no_authority(tmp_path: Path) -> None:
    assert here.read_authority(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("gone", "said"), [("crt", "crt is missing"), ("key", "key is missing")])
def test_half_an_authority_is_named_and_kept(tmp_path: Path, gone: str, said: str) -> None:
    here.ensure_authority(tmp_path)
    (tmp_path / f"registry-ca.{gone}").unlink()

    with pytest.raises(ValueError, match=said):
        here.ensure_authority(tmp_path)


def test_a_key_of_another_authority_is_told(tmp_path: Path) -> None:
    here.ensure_authority(tmp_path)
    (tmp_path / "registry-ca.key").write_text(here.key_pem(here.new_authority().key))

    with pytest.raises(ValueError, match="is not the key of"):
        here.ensure_authority(tmp_path)


def test_a_certificate_is_good_for_its_hosts_and_until_a_month_before_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = here.new_authority()
    text, _ = here.issue(authority, HOSTS)

    assert here.is_good(text, authority, HOSTS)
    assert here.is_good(text, authority, HOSTS[::-1])
    assert not here.is_good(text, authority, [*HOSTS[:2], "192.0.2.12"])
    assert not here.is_good(text, here.new_authority(), HOSTS)
    assert not here.is_good("", authority, HOSTS)
    later(monkeypatch, 330)
    assert here.is_good(text, authority, HOSTS)
    later(monkeypatch, 340)
    assert not here.is_good(text, authority, HOSTS)


def test_openssl_agrees(tmp_path: Path) -> None:
    authority = here.ensure_authority(tmp_path)
    text, key = here.issue(authority, HOSTS)
    (tmp_path / "registry.crt").write_text(text)
    (tmp_path / "registry.key").write_text(key)
    (tmp_path / "registry.key").chmod(0o600)
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", "registry-ca.crt"]
    tries = (["-verify_hostname", "vm1"], ["-verify_ip", "192.0.2.11"], ["-verify_hostname", "vm2"])
    codes = [
        subprocess.run(
            [*verify, *one, "registry.crt"], cwd=tmp_path, capture_output=True, check=False
        ).returncode
        for one in tries
    ]

    assert codes[:2] == [0, 0]
    assert codes[2] != 0
    assert there.present(tmp_path) == text


def test_a_certificate_without_its_own_closed_key_is_none(tmp_path: Path) -> None:
    authority = here.new_authority()
    text, key = here.issue(authority, HOSTS)
    (tmp_path / "registry.crt").write_text(text)
    assert there.present(tmp_path) == ""
    (tmp_path / "registry.key").write_text(here.issue(authority, HOSTS)[1])
    (tmp_path / "registry.key").chmod(0o600)
    assert there.present(tmp_path) == ""
    (tmp_path / "registry.key").write_text(key)
    assert there.present(tmp_path) == text
    (tmp_path / "registry.key").chmod(0o644)
    assert there.present(tmp_path) == ""


def test_a_file_is_written_in_the_place_of_a_link_never_through_it(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "registry.key").symlink_to(tmp_path / "victim")
    state = tmp_path.stat()
    file = there.File(tmp_path / "registry.key", "secret", 0o600, state.st_uid, state.st_gid)

    assert not file.is_so()
    file.write()

    assert file.is_so()
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_attendees_folder_is_closed_to_others_and_made_once(tmp_path: Path) -> None:
    state = tmp_path.stat()
    folder = tmp_path / "registry"

    assert there.ensure_folder(folder, state.st_uid, state.st_gid)
    assert not there.ensure_folder(folder, state.st_uid, state.st_gid)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
