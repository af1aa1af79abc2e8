"""By which addresses and sizes a machine takes part, and how its prober becomes root."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from labkit.classroom import Machine
from labkit.post import Lost, Post, opening
from labkit.seat import prober
from labkit.seat.proof import PROBER
from labkit.ssh import Connection

TASK = {"listed": "192.0.2.1", "towards": "127.0.0.1", "asked": "", "port": 4789}
OWN = {"192.0.2.1": 1500, "198.51.100.1": 9000, "127.0.0.1": 1400}


@pytest.mark.parametrize(
    ("task", "kept", "expected"),
    [
        ({}, {}, {"address": "192.0.2.1", "from": "192.0.2.1", "mtu": 1500, "needs": 1500}),
        # The role's word counts more than the inventory's.
        (
            {"asked": "192.0.2.1"},
            {"address": "198.51.100.1", "overlay_mtu": 1450, "data_path_port": 7788},
            {"address": "198.51.100.1", "port": 7788, "mtu": 9000, "needs": 1500},
        ),
        ({"asked": "198.51.100.1"}, {}, {"address": "198.51.100.1", "needs": 1500}),
        (
            {},
            {"data_path_address": "198.51.100.1", "overlay_mtu": 8950},
            {"address": "192.0.2.1", "data_from": "198.51.100.1", "needs": 9000},
        ),
        # Behind a translated address, or with none of the listed ones: what leads to the mates.
        ({}, {"address": "203.0.113.9"}, {"address": "203.0.113.9", "from": "127.0.0.1"}),
        ({"listed": "203.0.113.9"}, {}, {"address": "127.0.0.1", "mtu": 1400, "needs": 1400}),
    ],
)
def test_a_machine_stands_where_its_swarm_would(
    task: dict[str, Any], kept: dict[str, Any], expected: dict[str, Any]
) -> None:
    place = prober.stand({**TASK, **task}, kept, OWN)

    assert {key: place[key] for key in expected} == expected


def test_the_links_of_this_machine_are_read() -> None:
    assert prober.links()["127.0.0.1"] >= 1400


def test_it_needs_nothing_of_labkits_and_says_nothing_when_nobody_listens() -> None:
    done = subprocess.run(
        [sys.executable, "-I", PROBER], input=b"", capture_output=True, check=False, cwd="/"
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


SUDO = """#!/bin/sh
echo "$*" >> {place}/asked
[ "$1" = -S ] && read -r word && echo "$word" > {place}/word
[ "$1" = -n ] && [ ! -e {place}/free ] && echo "a password is required" >&2 && exit 1
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""
HELLO = b'import json, sys; print(json.dumps({"heard": sys.stdin.readline()}))'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose login is not root's."""
    for name, text in (("sudo", SUDO.format(place=tmp_path)), ("id", "#!/bin/sh\necho 1000\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return tmp_path


def begin(password: str | None) -> str:
    """Return what a program says that was begun as a prober is, with a line behind it."""
    first = b"" if password is None else f"{password}\n".encode()
    done = subprocess.run(
        ["sh", "-c", opening(paid=password is not None)],
        input=first + f"{len(HELLO)}\n".encode() + HELLO + b"mates\n",
        capture_output=True,
        check=False,
    )
    return done.stdout.decode() + done.stderr.decode()


def test_sudo_is_given_its_password_only_if_it_wants_one(place: Path) -> None:
    assert json.loads(begin("s3cret")) == {"heard": "mates\n"}
    assert (place / "word").read_text() == "s3cret\n"
    (place / "word").unlink()
    (place / "free").touch()

    assert json.loads(begin("s3cret")) == {"heard": "mates\n"}
    assert not (place / "word").exists()
    assert json.loads(begin(None)) == {"heard": "mates\n"}
    assert "s3cret" not in (place / "asked").read_text()


def test_root_needs_no_sudo(place: Path) -> None:
    (place / "id").write_text("#!/bin/sh\necho 0\n")

    assert json.loads(begin("s3cret")) == {"heard": "mates\n"}
    assert not (place / "asked").exists()


def test_what_sudo_refuses_is_told(place: Path) -> None:
    assert "a password is required" in begin(None)
    assert "-S" not in (place / "asked").read_text()


def post(tmp_path: Path, script: str) -> Post:
    ssh = tmp_path / "ssh"
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    ssh.chmod(0o700)
    return Post(Machine("vm1", "a", 1, Connection("vm1", ssh=str(ssh)), {}), tmp_path, HELLO)


@pytest.mark.parametrize(
    ("script", "said", "away"),
    [
        ("echo No route to host >&2; exit 255", "No route to host", True),
        ("echo python3: not found >&2; exit 127", "python3: not found", False),
        ("exit 0", "the connection ended without a word", False),
        (
            """echo Welcome!; echo '{"error": "no such address"}'; sleep 9""",
            "no such address",
            False,
        ),
        ("exec sleep 9", "it did not answer in time", False),
    ],
)
def test_a_machine_that_is_lost_is_lost_with_its_words(
    tmp_path: Path, script: str, said: str, *, away: bool
) -> None:
    one = post(tmp_path, script)
    with pytest.raises(Lost, match=said) as why:
        one.hear(prober.time.monotonic() + 0.5)
    one.close()

    assert why.value.away is away


def test_a_login_that_greets_is_passed_over(tmp_path: Path) -> None:
    one = post(tmp_path, """echo Welcome; echo 7; echo '{"port": 4789}'; exec sleep 9""")

    assert one.hear(prober.time.monotonic() + 5) == {"port": 4789}
    one.close()
