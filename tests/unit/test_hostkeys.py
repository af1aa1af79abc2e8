"""What labkit tells of host keys is what ssh-keygen tells of them."""

import shlex
import subprocess
from pathlib import Path

import pytest

from labkit.hostkeys import HostKey, changed_key, fingerprint, known_name, new_keys

CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
The fingerprint for the ED25519 key sent by the remote host is\r
SHA256:new+new/new.\r
Please contact your system administrator.\r
Add correct host key in {file} to get rid of this message.\r
Offending ED25519 key in {file}:{line}\r
  remove with:\r
  ssh-keygen -f "{file}" -R "[192.0.2.11]:2222"\r
Host key for [192.0.2.11]:2222 has changed and you have requested strict checking.\r
Host key verification failed.\r
"""


def keygen(*arguments: str | Path) -> str:
    argv = ["ssh-keygen", *(str(one) for one in arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a public key as known_hosts has it: type and key."""
    file = tmp_path_factory.mktemp("keys") / "key"
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file)
    return file.with_suffix(".pub").read_text().strip()


def told(file: Path) -> str:
    """Return the fingerprint that ssh-keygen itself finds in a known_hosts."""
    return keygen("-l", "-f", file).split()[1]


@pytest.mark.parametrize("before", ["vm1", "vm1,192.0.2.1", "[vm1]:2222", "@revoked vm1"])
@pytest.mark.parametrize("after", ["", " made by hand"])
def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(
    before: str, after: str, key: str, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"vm1 {key}\n")

    assert fingerprint(f"{before} {key}{after}") == told(known)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "# vm1 ssh-ed25519 AAAA",
        "vm1",
        "vm1 ssh-ed25519",
        "vm1 ssh-ed25519 A",
        "vm1 rsa AA!!AA==",
        "a b ü==",
    ],
)
def test_what_is_no_key_has_no_fingerprint(line: str) -> None:
    assert fingerprint(line) is None


def test_a_key_that_was_there_before_is_not_new(key: str) -> None:
    assert new_keys(f"vm1 {key}\n", f"vm1 {key}\n") == []


def test_a_new_key_is_told_for_each_of_its_names(key: str) -> None:
    after = f"vm1 {key}\nvm2,192.0.2.2 {key}\n"
    found = new_keys(f"vm1 {key}\n", after)

    assert found == [
        HostKey("vm2", "ssh-ed25519", str(fingerprint(f"vm2 {key}"))),
        HostKey("192.0.2.2", "ssh-ed25519", str(fingerprint(f"vm2 {key}"))),
    ]


def test_a_line_that_stands_once_more_is_new(key: str) -> None:
    assert len(new_keys(f"vm1 {key}\n", f"vm1 {key}\nvm1 {key}\n")) == 1


@pytest.mark.parametrize("name", ["vm1", "[192.0.2.1]:2222"])
def test_a_hashed_name_is_told_by_trying_the_names_of_the_class(
    name: str, key: str, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"{name} {key}\n")
    keygen("-H", "-f", known)

    assert name not in known.read_text()
    assert [one.host for one in new_keys("", known.read_text(), ["other", name])] == [name]


def test_a_hashed_name_of_nobody_in_the_class_stays_a_hash(key: str, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"stranger {key}\n")
    keygen("-H", "-f", known)

    (one,) = new_keys("", known.read_text(), ["vm1"])
    assert one.host.startswith("|1|")


@pytest.mark.parametrize("salted", ["|1|abc|AAAA", "|1|AAAA|abc", "|1|ä|ä", "|2|x|y"])
def test_a_damaged_hash_is_nobodys_name(salted: str, key: str) -> None:
    (one,) = new_keys("", f"{salted} {key}\n", ["vm1"])

    assert one.host == salted


@pytest.mark.parametrize(
    ("host", "port", "name"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", 22, "192.0.2.1"),
        ("192.0.2.1", 2222, "[192.0.2.1]:2222"),
        ("2001:db8::1", 2222, "[2001:db8::1]:2222"),
    ],
)
def test_a_host_is_called_as_known_hosts_calls_it(host: str, port: int | None, name: str) -> None:
    assert known_name(host, port) == name


def test_ssh_writes_names_in_small_letters() -> None:
    assert known_name("VM1.Example", 2222) == "[vm1.example]:2222"


def test_a_changed_key_names_the_old_one_and_the_new_one(key: str, tmp_path: Path) -> None:
    known = tmp_path / "my class" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"# of the class\n[192.0.2.11]:2222 {key}\n")
    found = changed_key(CHANGED.format(file=known, line=2))

    assert found
    assert found.known == told(known)
    assert found.offered == "SHA256:new+new/new"
    assert found.known in found.message
    assert found.offered in found.message


def test_the_advised_command_forgets_the_changed_key_and_no_other(key: str, tmp_path: Path) -> None:
    known = tmp_path / "my class" / "known_hosts"
    known.parent.mkdir()
    known.write_text(f"vm9 {key}\n[192.0.2.11]:2222 {key}\n")
    found = changed_key(CHANGED.format(file=known, line=2))
    assert found

    command = found.remedy[found.remedy.index("ssh-keygen") :]
    keygen(*shlex.split(command)[1:])
    assert known.read_text() == f"vm9 {key}\n"


@pytest.mark.parametrize("line", [1, 99])
def test_a_known_key_that_cannot_be_read_is_still_told_as_changed(
    line: int, tmp_path: Path
) -> None:
    known = tmp_path / "known_hosts"
    if line > 1:
        known.write_text("")
    found = changed_key(CHANGED.format(file=known, line=line))

    assert found
    assert found.known is None
    assert "another key" in found.message


@pytest.mark.parametrize(
    "answer",
    [
        "ssh: connect to host 192.0.2.1 port 22: Connection refused",
        "No ED25519 host key is known for vm1 and you have requested strict checking.",
        "Offending ED25519 key in /known_hosts:1\n",
    ],
)
def test_another_failure_is_no_changed_key(answer: str) -> None:
    assert changed_key(answer) is None
