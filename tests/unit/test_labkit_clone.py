"""Clones get identities of their own, once, and ssh goes on to know the machine."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
here = SimpleNamespace(**runpy.run_path(str(ROLE / "action_plugins/labkit_clone.py")))
there = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_clone.py")))


def test_new_keys_take_the_place_of_the_old_ones_of_this_host_alone() -> None:
    known = (
        "192.0.2.11 ssh-ed25519 OLD\n192.0.2.11 ssh-rsa OLD\n"
        "[192.0.2.11]:2201 ssh-ed25519 OTHER\n# 192.0.2.11 a note\n"
    )

    assert here.learn(known, "192.0.2.11", ["ssh-ed25519 NEW"]) == (
        "[192.0.2.11]:2201 ssh-ed25519 OTHER\n# 192.0.2.11 a note\n192.0.2.11 ssh-ed25519 NEW\n"
    )


@pytest.mark.parametrize(("port", "name"), [(22, "vm1.example"), (2201, "[vm1.example]:2201")])
def test_a_host_is_known_by_the_name_that_ssh_looks_for(port: int, name: str) -> None:
    assert here.known_name("VM1.example", port) == name


def test_a_machine_id_is_new_also_where_dbus_keeps_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew = there.renew_machine_id
    own, copy = tmp_path / "own", tmp_path / "copy"
    monkeypatch.setitem(renew.__globals__, "MACHINE_ID", own)
    monkeypatch.setitem(renew.__globals__, "DBUS_ID", copy)
    own.write_text("0" * 32 + "\n")
    copy.write_text("0" * 32 + "\n")

    renew()

    assert own.read_text() == copy.read_text() != "0" * 32 + "\n"
    assert len(own.read_text()) == 33
    copy.unlink()
    copy.symlink_to(own)
    renew()
    assert copy.is_symlink()


def test_an_engines_id_is_forgotten_wherever_it_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget = there.forget_engine_id
    for name in ("engine-id", "key.json"):
        (tmp_path / name).write_text("x")
    monkeypatch.setitem(forget.__globals__, "OLD_ENGINES_ID", tmp_path / "key.json")

    forget(str(tmp_path))

    assert list(tmp_path.iterdir()) == []


def test_there_are_host_keys_at_every_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    renew, run = there.renew_host_keys, there.run
    ran: list[str] = []

    def only_keys(*words: str, **options: int) -> tuple[int, str]:
        ran.append(words[0])
        if words[0] != "ssh-keygen":
            return 0, ""
        assert (tmp_path / "ssh_host_ed25519_key").read_text() == "old"
        return run(*words, **options)

    monkeypatch.setitem(renew.__globals__, "SSH", tmp_path)
    monkeypatch.setitem(renew.__globals__, "run", lambda *_, **__: (1, "disk full"))
    for name in ("ssh_host_dsa_key", "ssh_host_ed25519_key"):
        (tmp_path / name).write_text("old")
    with pytest.raises(OSError, match="no new SSH host keys: disk full"):
        renew()
    assert {one.read_text() for one in tmp_path.iterdir()} == {"old"}

    monkeypatch.setitem(renew.__globals__, "run", only_keys)
    keys = renew()

    assert ran == ["ssh-keygen", "systemctl"]
    assert "ssh-ed25519" in {key.split()[0] for key in keys}
    assert (tmp_path / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    # Of a kind that is not made any more: a clone has it, too.
    assert not (tmp_path / "ssh_host_dsa_key").exists()
