"""`logins.csv` holds every password, once, and keeps it."""

import csv
import re
import stat
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from labkit.classroom import Machine
from labkit.errors import BadInput
from labkit.logins import ensure_logins, new_password, password_hash, read_passwords
from labkit.ssh import Connection

INPUTS: dict[str, Any] = {"attendee_name": "student"}


def machine(name: str, seat: str, **inputs: Any) -> Machine:
    return Machine(name, seat, 1, Connection(f"{name}.test"), INPUTS | inputs)


CLASS = [machine("a1", "a"), machine("a2", "a"), machine("b1", "b")]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logins.csv"


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_seat_has_one_password_and_each_seat_its_own(file: Path) -> None:
    passwords = ensure_logins(file, CLASS)
    told = rows(file)

    assert [row["password"] for row in told] == [passwords[seat] for seat in ("a", "a", "b")]
    assert passwords["a"] != passwords["b"]
    assert list(told[0]) == ["seat", "machine", "address", "user", "password"]
    assert told[0]["address"] == "a1.test"


def test_the_port_stands_behind_the_address_where_it_is_not_sshs_own(file: Path) -> None:
    ways = (Connection("127.0.0.1", 14011), Connection("192.0.2.1", 22))
    ensure_logins(file, [Machine("a", "a", 1, way, INPUTS) for way in ways])

    assert [row["address"] for row in rows(file)] == ["127.0.0.1:14011", "192.0.2.1"]


def test_only_its_owner_can_read_it(file: Path) -> None:
    ensure_logins(file, CLASS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    file.chmod(0o644)
    ensure_logins(file, CLASS)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_password_stays_when_the_class_grows(file: Path) -> None:
    before = ensure_logins(file, CLASS)
    after = ensure_logins(file, [*CLASS, machine("c1", "c")])

    assert after.keys() == {"a", "b", "c"}
    assert {seat: after[seat] for seat in before} == before


def test_nothing_is_written_when_nothing_is_new(file: Path) -> None:
    ensure_logins(file, CLASS)
    before = file.stat()
    ensure_logins(file, CLASS)

    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "inputs", [{"attendee_keys": ["ssh-ed25519 AAAA"]}, {"attendee_password_hash": "$2b$x"}]
)
def test_who_has_a_login_of_his_own_gets_no_password(file: Path, inputs: dict[str, Any]) -> None:
    assert ensure_logins(file, [machine("a1", "a", **inputs)]) == {}
    assert rows(file)[0]["password"] == ""


def test_a_file_that_is_none_of_ours_is_not_overwritten(file: Path) -> None:
    file.write_text("name,secret\nx,y\n")

    with pytest.raises(BadInput, match="lacks the column"):
        ensure_logins(file, CLASS)
    assert file.read_text() == "name,secret\nx,y\n"


def test_without_a_file_there_are_no_passwords(file: Path) -> None:
    assert read_passwords(file) == {}


def test_a_password_can_be_typed_from_paper() -> None:
    made = {new_password() for _ in range(100)}

    assert len(made) == 100
    assert all(re.fullmatch(r"([a-hj-km-np-z2-9]{4}-){2}[a-hj-km-np-z2-9]{4}", one) for one in made)


def test_a_hash_is_the_same_at_every_run_and_opens_with_its_password() -> None:
    first = password_hash("k7wm-p3xd-q9ra", "seat01")

    assert first == password_hash("k7wm-p3xd-q9ra", "seat01")
    assert first != password_hash("k7wm-p3xd-q9ra", "seat02")
    assert bcrypt.checkpw(b"k7wm-p3xd-q9ra", first.encode())
