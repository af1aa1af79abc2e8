"""A window is typed into and watched, with real shells."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from attendee import SHELL, box

from labkit.rehearsal.keeper.people import SESSION
from labkit.rehearsal.leash import leash
from labkit.rehearsal.terminal import CTRL_C, Complete, Gone, Rest, Stopped, Terminal, TooLong

SOON = 10.0


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Terminal]:
    with box(tmp_path) as one:
        terminal = one.terminal()
        yield terminal
        terminal.close()


def run(window: Terminal, text: str) -> tuple[int | None, str]:
    window.type(text, SOON)
    return window.await_rest(SOON).status, window.seen


def test_a_command_says_how_it_ended_and_what_it_printed(window: Terminal, tmp_path: Path) -> None:
    assert run(window, "pwd; echo to stderr >&2; false") == (1, f"{tmp_path}\nto stderr\n")
    assert run(window, "true") == (0, "")
    assert run(window, "printf 'no end of line'") == (0, "no end of line")


def test_a_directory_and_variables_last(window: Terminal, tmp_path: Path) -> None:
    run(window, "mkdir app; cd app; name=clock")

    assert run(window, "echo $PWD $name") == (0, f"{tmp_path}/app clock\n")


def test_the_shell_is_a_plain_one_that_docker_knows(window: Terminal) -> None:
    said = run(window, "echo $TERM $BUILDKIT_PROGRESS $COMPOSE_ANSI ${HISTFILE-none}; stty size")

    assert said == (0, "dumb plain never none\n50 200\n")


def test_the_language_is_the_machines_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    with box(tmp_path) as one:
        window = one.terminal()
        assert run(window, "echo ${LC_ALL-none}") == (0, "none\n")
        window.close()


@pytest.mark.parametrize(
    ("typed", "seen"),
    [
        ("cat <<END\none\n\ttwo\n\nEND", "one\n\ttwo\n\n"),
        ("echo one \\\n  two", "one two\n"),
        ("for n in 1 2; do\necho $n\ndone", "1\n2\n"),
        ("echo 'one\ntwo'", "one\ntwo\n"),
    ],
)
def test_a_command_may_have_several_lines(window: Terminal, typed: str, seen: str) -> None:
    assert run(window, typed) == (0, seen)


def test_a_line_too_many_is_told_and_not_typed(window: Terminal, tmp_path: Path) -> None:
    with pytest.raises(Complete, match="touch file"):
        window.type("echo one\ntouch file", SOON)

    assert run(window, "true") == (0, "")
    assert not (tmp_path / "file").exists()


def test_what_takes_too_long_is_told_with_what_it_said(window: Terminal) -> None:
    window.type("echo begun; sleep 60", SOON)
    with pytest.raises(TooLong):
        window.await_rest(1.0)
    assert window.seen == "begun\n"

    window.press(CTRL_C)
    assert window.await_rest(SOON) == Rest(130)


def test_a_line_is_waited_for_and_only_a_whole_one(window: Terminal) -> None:
    window.type("printf 'tick 1'; sleep 1; echo 0; sleep 60", SOON)
    with pytest.raises(TooLong):
        window.await_line("^tick 1", 0.5)

    assert window.await_line("^tick 1", SOON) is None
    assert window.seen == "tick 10\n"


def test_a_command_that_ends_before_its_line_is_told(window: Terminal) -> None:
    window.type("echo other; (exit 3)", SOON)

    assert window.await_line("^tick", SOON) == Rest(3)


def test_a_program_in_the_terminal_is_known_by_its_prompt(window: Terminal) -> None:
    window.type(f"{sys.executable} inner.py", SOON)
    assert window.await_rest(SOON) == Rest(prompt="root@f00:/#")
    window.type("cd /tmp", SOON)
    assert window.await_rest(SOON) == Rest(prompt="root@f00:/tmp#")
    window.type("cat <<END\n> one\nEND", SOON)
    window.await_rest(SOON)
    assert "\n> one\nroot@f00" in window.seen

    window.type("exit 5", SOON)
    assert window.await_rest(SOON).status == 5


def test_a_prompt_that_no_program_may_have_is_only_text(window: Terminal) -> None:
    window.type("printf 'root@f00:/# '; sleep 1; echo", SOON)

    assert window.await_rest(SOON, inner=False) == Rest(0)


def test_the_shells_own_prompt_is_not_mistaken_for_a_program(tmp_path: Path) -> None:
    slow = "printf 'student@vm1:~$ '; sleep 1; exec bash --norc -i"
    argv = (sys.executable, "-c", f"import pty; pty.spawn(['bash', '-c', {slow!r}])")
    with leash(lambda: False) as held:
        # The prompt stands there for a while before what labkit typed is read.
        window = Terminal(argv, {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, held)
        assert run(window, "sleep 0.3; (exit 7)") == (7, "")
        window.close()


def test_much_output_is_kept_at_its_end(window: Terminal) -> None:
    status, seen = run(window, "seq 200000")

    assert status == 0
    assert seen.endswith("199999\n200000\n")
    assert len(seen) < 1 << 19


def test_a_question_before_the_shell_is_answered(tmp_path: Path) -> None:
    asks = 'read -s -p "labkit-sudo:" word; test "$word" = s3cret && exec bash --norc -i; exit 9'
    argv = (sys.executable, "-c", f"import pty; pty.spawn(['bash', '-c', {asks!r}])")
    with leash(lambda: False) as held:
        window = Terminal(argv, {"HOME": str(tmp_path)}, held, {"labkit-sudo:": "s3cret"})
        assert run(window, "echo in") == (0, "in\n")
        window.close()


def test_a_login_that_fails_is_told_in_sshs_words() -> None:
    with leash(lambda: False) as held, pytest.raises(Gone, match="Permission denied"):
        Terminal(("sh", "-c", "echo 'Permission denied (password).' >&2; exit 255"), {}, held)


def test_a_shell_that_ends_is_told(window: Terminal) -> None:
    window.type("exit", SOON)

    with pytest.raises(Gone):
        window.await_rest(SOON)


def test_a_wait_ends_when_the_run_is_to_stop(tmp_path: Path) -> None:
    asked: list[bool] = []
    with leash(lambda: bool(asked)) as held:
        window = Terminal(SHELL, {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, held)
        window.type("sleep 60", SOON)
        asked.append(True)
        with pytest.raises(Stopped):
            window.await_rest(60)
        window.close()


def test_terminals_end_with_a_labkit_that_is_killed(tmp_path: Path) -> None:
    program = f"""import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from attendee import box
with box(Path({str(tmp_path)!r})) as one:
    window = one.terminal()
    window.type("echo $$ > shell; sleep 100", 5)
    print(window._process.pid, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as killed:
        assert killed.stdout
        number = int(killed.stdout.readline())
        killed.kill()
    end = time.monotonic() + SOON
    while Path(f"/proc/{number}").exists() and time.monotonic() < end:
        time.sleep(0.05)

    assert not Path(f"/proc/{number}").exists()


def test_a_login_shell_is_marked_as_labkits_own(window: Terminal) -> None:
    said = run(window, r"tr '\0' '\n' < /proc/$$/environ | grep ^TERM")

    assert said == (0, f"TERM={SESSION}\n")
