"""Answers that machines give often are told with what to do about them."""

from pathlib import Path

import pytest

from labkit.events import Event, Kind, Reason
from labkit.hints import duplicates, explain, hint

CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
The fingerprint for the ED25519 key sent by the remote host is
SHA256:newnewnew.
Please contact your system administrator.
Add correct host key in {file} to get rid of this message.
Offending ED25519 key in {file}:1
Host key for 192.0.2.11 has changed and you have requested strict checking.
Host key verification failed."""


def told(answer: str, kind: Kind = Kind.UNREACHABLE, todo: str = "") -> Reason:
    event = Event(kind, "vm1", "Gather", reasons=(Reason("Gather", answer, todo),))
    return explain(event).reasons[0]


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        ("ssh: Could not resolve hostname vm9: Name or service not known", "ansible_host"),
        ("root@192.0.2.1: Permission denied (publickey,password).", "--private-key"),
        ("connect to host 192.0.2.1 port 22: No route to host", "switched on"),
        ("connect to host 192.0.2.1 port 22: Connection refused", "sshd"),
        ("connect to host 192.0.2.1 port 22: Connection timed out", "--retry-failed"),
        ("Connection timed out during banner exchange", "--retry-failed"),
        ("Timeout, server 192.0.2.1 not responding.", "--retry-failed"),
        ("Missing sudo password", "-K"),
        ("sudo: a password is required", "-K"),
        ("Incorrect sudo password", "-K"),
        ("student is not in the sudoers file.", "sudo"),
        ("/bin/sh: 1: /usr/bin/python3: not found", "apt-get install python3"),
        ("The module interpreter '/usr/bin/python3' was not found.", "apt-get install python3"),
        ("write: No space left on device", "disk"),
        ("E: dpkg was interrupted, you must manually run", "dpkg --configure -a"),
        ("E: Could not get lock /var/lib/dpkg/lock-frontend", "lock"),
    ],
)
def test_a_known_answer_comes_with_what_to_do(answer: str, todo: str) -> None:
    assert todo in hint(answer, Kind.UNREACHABLE)


@pytest.mark.parametrize(
    ("answer", "todo"),
    [
        ("Not pulled: a:1: dial tcp 192.0.2.1:443: i/o timeout", "the registry"),
        ("Not pulled: a:1: toomanyrequests: You have reached your pull rate limit", "a mirror"),
        ("Get http://192.0.2.1/: Connection refused", "--retry-failed"),
        ("/var/lib/docker has 12 MB free; app:1 take about 250 MB", "free some space"),
    ],
)
def test_a_machine_that_failed_to_reach_something_is_not_called_silent(
    answer: str, todo: str
) -> None:
    assert todo in hint(answer, Kind.FAILED)
    assert "does not answer" not in hint(answer, Kind.FAILED)


def test_of_an_unknown_answer_we_know_no_better() -> None:
    assert hint("the dog ate it", Kind.UNREACHABLE) == ""


def test_what_a_module_advises_beats_the_hint() -> None:
    assert told("No space left on device", Kind.FAILED, "buy a disk").todo == "buy a disk"


def test_a_failed_connection_is_told_in_sshs_own_words() -> None:
    reason = told("Failed to connect to the host via ssh: Connection refused")

    assert reason.answer == "Connection refused"


def test_a_changed_host_key_names_both_keys_and_the_command_that_forgets(tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text("192.0.2.11 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5\n")

    reason = told(CHANGED.format(file=known))

    assert "SHA256:newnewnew" in reason.answer
    assert reason.answer.count("SHA256:") == 2
    assert f"ssh-keygen -R 192.0.2.11 -f {known}" in reason.todo


def test_an_event_without_a_reason_stays_as_it_is() -> None:
    event = Event(Kind.OK, "vm1", "Gather")

    assert explain(event) is event


def test_twins_are_told_of_each_other() -> None:
    identities = {
        "vm1": {"machine_id": "aa", "hostname": "vm1", "engine_id": ""},
        "vm2": {"machine_id": "aa", "hostname": "vm2", "engine_id": ""},
        "vm3": {"machine_id": "bb", "hostname": "vm3", "engine_id": ""},
    }
    found = {machine: reason.answer for machine, reason in duplicates(identities)}

    assert found.keys() == {"vm1", "vm2"}
    assert "vm2" in found["vm1"]
    assert "machine id" in found["vm1"]
