"""One connection carries all that is asked of a machine; a program of ours stands in for ssh."""

import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.checks import backend
from labkit.checks import line as module
from labkit.checks.line import Line, NoAnswer, NoRoot, Unreachable
from labkit.ssh import Connection

Open = Callable[..., Line]

# Runs the remote line on this machine, where there is nothing but what `bin` holds.
SSH = """#!/bin/sh
{first}
for line; do :; done
exec env -i PATH={bin} {bin}/sh -c "$line"
"""
FREE = '#!/bin/sh\nshift 3; exec "$@"\n'
PAID = """#!/bin/sh
case "$*" in "-S -k "*) read password; shift 5 ;; *) password=none ;; esac
[ "$password" = right ] && exec "$@"
echo "sudo: $password is not it" >&2; exit 1
"""


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, str], None]:
    """Put a program onto the machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("cat", "mktemp", "rm", "sh", "sleep", "stat", "true"):
        (folder / name).symlink_to(shutil.which(name) or name)

    def put(name: str, text: str) -> None:
        # It may be a link to this box's own program.
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)

    put("id", "#!/bin/sh\necho 0\n")
    return put


@pytest.fixture
def dial(tmp_path: Path, put: Callable[[str, str], None]) -> Iterator[Open]:
    """Open a line; `first` is what the stand-in for ssh does before all else."""
    opened = []

    def dial(first: str = "", *, root: bool = True, password: str | None = None) -> Line:
        if not root:
            put("id", "#!/bin/sh\necho 1000\n")
        ssh = tmp_path / "ssh"
        ssh.write_text(SSH.format(first=first, bin=tmp_path / "bin"))
        ssh.chmod(0o700)
        connection = Connection("vm1", become_password=password, ssh=str(ssh))
        opened.append(Line(connection, tmp_path / "a line", os.environ))
        return opened[-1]

    yield dial
    for line in opened:
        line.close()


def test_what_is_asked_is_answered_with_all_that_was_said(dial: Open) -> None:
    answer = dial().ask("cat; echo oops >&2; exit 3", b"given")

    assert (answer.returncode, answer.stdout, answer.stderr) == (3, b"given", b"oops\n")


def test_root_needs_no_sudo(dial: Open, put: Callable[[str, str], None]) -> None:
    put("sudo", "#!/bin/sh\nexit 1\n")
    line = dial()

    assert line.ask(line.as_root('echo it\\\'s "$0"')).stdout == b"it's sh\n"


def test_sudo_that_wants_no_password_gets_none(dial: Open, put: Callable[[str, str], None]) -> None:
    put("sudo", FREE)
    line = dial(root=False, password="right")  # noqa: S106 - opens nothing

    assert line.ask(line.as_root("cat"), b"given").stdout == b"given"


def test_sudos_password_is_for_sudo_alone(dial: Open, put: Callable[[str, str], None]) -> None:
    put("sudo", PAID)
    line = dial(root=False, password="right")  # noqa: S106 - opens nothing

    assert line.ask(line.as_root("cat"), b"given").stdout == b"given"
    assert line.ask("cat", b"given").stdout == b"given"
    assert line.ask_root("cat; echo mine").stdout == b"mine\n"


@pytest.mark.parametrize("password", [None, "wrong"])
def test_who_may_not_become_root_hears_why_in_sudos_words(
    password: str | None, dial: Open, put: Callable[[str, str], None]
) -> None:
    put("sudo", PAID)

    with pytest.raises(NoRoot, match=f"{(password or 'none')} is not it"):
        dial(root=False, password=password)


def test_a_login_that_speaks_first_is_listened_to(dial: Open) -> None:
    line = dial("case \"$*\" in *exec*) echo 'Welcome to vm1'; echo; esac")

    assert line.ask("echo hello").stdout == b"hello\n"


def test_a_machine_that_refuses_is_unreachable_in_sshs_own_words(dial: Open) -> None:
    with pytest.raises(Unreachable, match=r"^Connection refused$"):
        dial("echo 'Connection refused' >&2; exit 255")


def test_a_machine_that_lets_us_in_and_says_nothing_is_unreachable(
    dial: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_TO_CONNECT", 0.2)

    with pytest.raises(Unreachable, match=r"within 0.2 s\nstill waiting"):
        dial("echo 'still waiting' >&2; exec sleep 30")


def test_a_command_that_takes_too_long_does_not_cost_the_connection(dial: Open) -> None:
    line = dial()
    before = time.monotonic()

    with pytest.raises(NoAnswer, match=r"within 0.2 s"):
        line.ask("exec sleep 30", limit=0.2)
    assert time.monotonic() - before < 5
    assert line.alive
    assert line.ask("echo hello").stdout == b"hello\n"


def test_roots_questions_share_one_shell(dial: Open, tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = dial(f"echo one more >>{shlex.quote(str(log))}")
    answers = [
        line.ask_root(text)
        for text in ("echo it\\'s\necho $0; exit 3", "printf a; echo b >&2", "cat")
    ]

    assert [(one.returncode, one.stdout, one.stderr) for one in answers] == [
        (3, b"it's\nsh\n", b""),
        (0, b"a", b"b\n"),
        (0, b"", b""),
    ]
    assert log.read_text().count("one more") == 2, "the connection itself, and the shell"


def test_the_shell_leaves_nothing_on_the_machine(
    dial: Open, put: Callable[[str, str], None], tmp_path: Path
) -> None:
    (place := tmp_path / "shells").mkdir()
    put("mktemp", f"#!/bin/sh\n{shutil.which('mkdir')} {place}/one; echo {place}/one\n")
    line = dial()
    line.ask_root("true")
    there = list(place.iterdir())
    line.close()
    deadline = time.monotonic() + 5
    while list(place.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert there
    assert not list(place.iterdir())


def test_a_question_of_roots_that_takes_too_long_costs_its_shell_alone(dial: Open) -> None:
    line = dial()
    with pytest.raises(NoAnswer, match=r"within 0.2 s"):
        line.ask_root("exec sleep 30", limit=0.2)

    assert line.ask_root("echo hello").stdout == b"hello\n"


def test_a_shell_that_ends_is_told_apart_from_a_machine_that_does(dial: Open) -> None:
    line = dial()
    with pytest.raises(NoAnswer, match="before the shell ended"):
        line.ask_root("kill $PPID")
    with pytest.raises(Unreachable):
        line.ask_root(f"kill {line._master.pid} $PPID")  # noqa: SLF001 - nobody else knows it


def test_a_command_may_itself_end_with_sshs_own_exit_code(dial: Open) -> None:
    assert dial().ask("exit 255").returncode == 255


def test_a_machine_that_goes_away_during_a_command_is_unreachable(dial: Open) -> None:
    line = dial()
    master = line._master.pid  # noqa: SLF001 - nobody else knows it

    with pytest.raises(Unreachable, match="closed by vm1"):
        line.ask(f"kill {master}; echo 'closed by vm1' >&2; exit 255")


def test_a_machine_that_has_gone_away_is_not_asked_again(dial: Open) -> None:
    line = dial()
    line._master.kill()  # noqa: SLF001 - nobody else knows it
    line._master.wait()  # noqa: SLF001

    with pytest.raises(Unreachable):
        line.ask("echo hello")


def test_all_share_one_connection_whatever_the_inventory_says_of_sharing(
    dial: Open, tmp_path: Path
) -> None:
    own = "-o ControlMaster=auto -o ControlPersist=60s -o ControlPath=/other"
    log = tmp_path / "log"
    dial(f'ssh -G -F none "$@" {own} | grep ^control | sort >>{shlex.quote(str(log))}').ask("true")
    words = [line.split(maxsplit=1)[1] for line in log.read_text().splitlines()]

    assert words[:2] == ["true", str(tmp_path / "a line")]
    assert words[3:5] == ["false", str(tmp_path / "a line")]
    assert {words[2], words[5]} == {"no"}


def test_ssh_gets_the_environment_that_answers_for_the_password(tmp_path: Path, dial: Open) -> None:
    dial()
    ssh = tmp_path / "ssh"
    ssh.write_text('#!/bin/sh\necho "helped by $SSH_ASKPASS" >&2; exit 255\n')

    with pytest.raises(Unreachable, match=r"^helped by me$"):
        Line(Connection("vm1", ssh=str(ssh)), tmp_path / "line", {"SSH_ASKPASS": "me"})


def test_the_attendees_commands_arrive_as_they_were_written(
    dial: Open, put: Callable[[str, str], None]
) -> None:
    put("runuser", '#!/bin/sh\necho "$1 $2"; exec sh -c "$4"\n')
    host = backend.as_attendee("vm1", dial(), "o'neil")
    seen = host.run("echo %s '{{.Server}}'", 'a "b" $HOME')

    assert seen.stdout.splitlines() == ["-l o'neil", 'a "b" $HOME {{.Server}}']


def test_what_is_no_text_is_read_all_the_same(dial: Open) -> None:
    assert backend.as_root("vm1", dial()).run("printf 'b\\374ro'").stdout == "b\ufffdro"
