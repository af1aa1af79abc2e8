"""ssh itself reads what labkit hands it, and gets a password only where it asks for one."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.ssh import PASSWORD_ONLY, Connection, askpass, command

SECRET = "correct horse"  # noqa: S105 - opens nothing


def settled(connection: Connection, user: str | None = None, *first: str) -> dict[str, str]:
    """Return the options that ssh settles on; of identity files the first."""
    argv = command(connection, "true", user=user, first=("-G", "-F", "none", *first))
    lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return dict(line.partition(" ")[::2] for line in reversed(lines))


def asked(prompt: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    argv = [environment["SSH_ASKPASS"], prompt]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)


def test_what_ansible_knows_of_a_machine_reaches_ssh() -> None:
    seen = settled(Connection("192.0.2.1", 2222, "maria", "/my class/id_ed25519"))

    assert seen["hostname"] == "192.0.2.1"
    assert seen["port"] == "2222"
    assert seen["user"] == "maria"
    assert seen["identityfile"] == "/my class/id_ed25519"


def test_what_ansible_does_not_know_is_left_to_sshs_own_configuration(tmp_path: Path) -> None:
    configuration = tmp_path / "config"
    configuration.write_text("User maria\nPort 2222\nIdentityFile /keys/one\n")
    seen = settled(Connection("vm1"), None, "-F", str(configuration))

    assert (seen["user"], seen["port"], seen["identityfile"]) == ("maria", "2222", "/keys/one")


def test_the_inventorys_port_user_and_key_beat_those_in_its_ssh_arguments() -> None:
    arguments = ("-o", "Port=1", "-o", "User=other", "-o", "IdentityFile=/other")
    seen = settled(Connection("vm1", 2222, "maria", "/mine", arguments))

    assert (seen["port"], seen["user"], seen["identityfile"]) == ("2222", "maria", "/mine")


def test_the_users_own_patience_beats_labkits() -> None:
    own = ("-o", "ServerAliveInterval=30", "-o", "ConnectTimeout=77")
    seen = settled(Connection("vm1", arguments=own))

    assert (seen["serveraliveinterval"], seen["connecttimeout"]) == ("30", "77")


def test_without_a_word_from_the_user_a_frozen_machine_is_given_up() -> None:
    seen = settled(Connection("vm1"))
    patience = int(seen["serveraliveinterval"]) * int(seen["serveralivecountmax"])

    assert 0 < patience <= 30
    assert 0 < int(seen["connecttimeout"]) <= 30


def test_a_key_in_the_home_folder_is_found_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/maria")

    assert settled(Connection("vm1", key="~/.ssh/class"))["identityfile"] == (
        "/home/maria/.ssh/class"
    )


def test_without_a_password_nobody_is_asked_for_one() -> None:
    seen = settled(Connection("vm1", arguments=("-o", "BatchMode=no")))

    assert seen["batchmode"] == "yes"
    assert seen["passwordauthentication"] == "no"


def test_a_password_is_tried_once_lest_it_lock_the_account() -> None:
    seen = settled(Connection("vm1", password=SECRET))

    assert (seen["numberofpasswordprompts"], seen["batchmode"]) == ("1", "no")


def test_another_login_may_be_asked_for_its_password() -> None:
    seen = settled(Connection("vm1", user="maria"), "student")

    assert (seen["user"], seen["passwordauthentication"]) == ("student", "yes")


def test_a_password_is_proven_without_keys_and_without_an_open_connection() -> None:
    own = ("-o", "PubkeyAuthentication=yes", "-o", "ControlMaster=auto", "-o", "ControlPath=/x")
    seen = settled(Connection("vm1", arguments=own), "student", *PASSWORD_ONLY)

    assert seen["pubkeyauthentication"] in {"no", "false"}
    assert seen["controlmaster"] in {"no", "false"}
    assert "controlpath" not in seen
    assert seen["preferredauthentications"] == "password,keyboard-interactive"


def test_a_password_is_in_no_argument_and_no_environment(tmp_path: Path) -> None:
    connection = Connection("vm1", password=SECRET, become_password=SECRET)

    with askpass(SECRET, tmp_path) as environment:
        assert SECRET not in " ".join(environment.values())
    assert SECRET not in " ".join(command(connection, "true"))
    assert SECRET not in repr(connection)


def test_ssh_is_given_the_password_when_it_asks_for_one(tmp_path: Path) -> None:
    with askpass(SECRET, tmp_path) as environment:
        assert asked("student@vm1's password: ", environment).stdout == f"{SECRET}\n"


@pytest.mark.parametrize(
    "prompt",
    [
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? ",
        "Enter passphrase for key '/k': ",
        "Enter PIN for ED25519-SK key /k: ",
    ],
)
def test_a_question_that_is_not_for_the_password_is_not_answered(
    prompt: str, tmp_path: Path
) -> None:
    with askpass(SECRET, tmp_path) as environment:
        answer = asked(prompt, environment)

    assert (answer.returncode, answer.stdout) == (1, "")


def test_the_login_password_does_not_unlock_a_key(tmp_path: Path) -> None:
    key = str(tmp_path / "key")
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", SECRET, "-f", key]
    subprocess.run(make, check=True)

    with askpass(SECRET, tmp_path) as environment:
        read = ["ssh-keygen", "-y", "-f", key]
        seen = subprocess.run(read, env=environment, capture_output=True, check=False)

    assert seen.returncode != 0
    assert not seen.stdout


def test_the_password_lies_on_the_disk_for_its_owner_and_for_as_long_as_needed(
    tmp_path: Path,
) -> None:
    before = os.umask(0)
    try:
        with askpass(SECRET, tmp_path) as environment:
            secret = Path(environment["LABKIT_PASSWORD_FILE"])
            assert stat.S_IMODE(secret.stat().st_mode) == 0o600
            assert stat.S_IMODE(secret.parent.stat().st_mode) == 0o700
    finally:
        os.umask(before)
    assert not list(tmp_path.iterdir())


def test_without_a_password_nothing_is_written_and_the_users_own_helper_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS", "/usr/bin/own")

    with askpass(None, tmp_path) as environment:
        assert environment == dict(os.environ)
        assert not list(tmp_path.iterdir())


def test_a_password_is_the_same_bytes_whatever_the_controllers_locale(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from labkit.ssh import askpass\n"
        "with askpass('gr\\u00fcn', pathlib.Path(sys.argv[1])) as environment:\n"
        "    sys.stdout.buffer.write(open(environment['LABKIT_PASSWORD_FILE'], 'rb').read())\n"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    argv = [sys.executable, "-c", program, str(tmp_path)]

    seen = subprocess.run(argv, env=plain, capture_output=True, check=False)
    assert seen.stdout == "grün\n".encode(), seen.stderr.decode()
