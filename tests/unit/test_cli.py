"""The command line, as an instructor meets it: real processes, their words and exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commandline import Labkit

VERBS = (
    ["provision"],
    ["verify"],
    ["guide"],
    ["sandbox"],
    *(["sandbox", x] for x in ("up", "status", "down")),
)

OPTIONS = [
    *("--inventory", "--limit", "--extra-vars", "--forks", "--tags", "--check", "--diff"),
    *("--user", "--private-key", "--ask-pass", "--ask-become-pass"),
    *("--vault-password-file", "--ask-vault-pass", "--verbose"),
    *("--retry-failed", "--no-verify", "--json", "--plain"),
]


@pytest.mark.parametrize("verb", [[], *VERBS], ids=lambda verb: " ".join(verb) or "labkit")
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_explains_itself(labkit: Labkit, verb: list[str], option: str) -> None:
    said = labkit(*verb, option)

    assert said.returncode == 0
    assert said.stdout.startswith("Usage: ")
    assert said.stderr == ""


@pytest.mark.parametrize("option", OPTIONS)
def test_the_options_are_those_that_ansible_taught(labkit: Labkit, option: str) -> None:
    assert option in labkit("provision", "--help").stdout


def test_help_comes_at_once(labkit: Labkit) -> None:
    # Ansible, the Docker SDK and pytest take seconds to load; help needs none of them.
    names = "ansible ansible_runner docker pytest rich"
    code = f"import sys, labkit.cli; sys.exit(any(name in sys.modules for name in {names.split()}))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert labkit("--version").stdout.startswith("labkit ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["provison"], "provison"),
        (["provision", "-i", "x", "--chekc"], "--chekc"),
        (["provision"], "--inventory"),
        (["verify", "-i", "x", "--forks", "0"], "--forks"),
        (["verify", "-i", "x", "--forks", "many"], "many"),
        (["provision", "-i", "x", "--private-key", "no-such-key"], "no-such-key"),
        (["sandbox", "up", "--seats", "many"], "many"),
    ],
)
def test_wrong_usage_is_told_in_words(labkit: Labkit, arguments: list[str], named: str) -> None:
    said = labkit(*arguments)

    assert said.returncode == 2
    assert said.stdout == ""
    assert named in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("verb", ["provision", "verify"])
def test_a_missing_inventory_is_one_clear_line_and_a_way_out(labkit: Labkit, verb: str) -> None:
    said = labkit(verb, "-i", "class.ini")
    what, todo = said.stderr.splitlines()

    assert said.returncode == 2
    assert said.stdout == ""
    assert what == f"labkit: there is no inventory {labkit.folder}/class.ini"
    assert todo.startswith("  → ")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--limit", "nobody"], "nobody"),
        (["-e", "@no-such-file.yml"], "no-such-file.yml"),
        (["-e", "{no: [json"], "--extra-vars"),
    ],
)
def test_bad_input_touches_nothing(labkit: Labkit, arguments: list[str], named: str) -> None:
    (labkit.folder / "class.ini").write_text("[machines]\nvm1 ansible_host=192.0.2.1\n")
    said = labkit("provision", "-i", "class.ini", *arguments)

    assert said.returncode == 2
    assert named in said.stderr
    assert "Traceback" not in said.stderr
    assert [file.name for file in labkit.folder.iterdir()] == ["class.ini"]


def test_nothing_is_left_of_a_refused_run(labkit: Labkit) -> None:
    (labkit.folder / "class.ini").write_text("[machines\n")
    said = labkit("verify", "-i", "class.ini")

    assert said.returncode == 2
    assert list(labkit.scratch.iterdir()) == []


def test_the_chapters_of_a_guide_are_listed_and_written(labkit: Labkit) -> None:
    guide = labkit.folder / "guide"
    guide.mkdir()
    (guide / "01-a.md").write_text("# First\n<!-- chapter: minutes=15 -->\n")
    (guide / "A1-b.md").write_text("# Second\n")
    listed = labkit("guide", "--guide", "guide")
    written = labkit("guide", "--guide", "guide", "--html", "site")

    assert [line.split() for line in listed.stdout.splitlines()] == [
        ["01", "15", "min", "First"],
        ["A1", "Second"],
    ]
    assert (listed.returncode, written.returncode) == (0, 0)
    assert written.stdout == "site/index.html: 2 chapters\n"
    assert (labkit.folder / "site/A1-b.html").exists()


@pytest.mark.parametrize("counts", [("0", "1"), ("1", "0"), ("1000", "1"), ("-1", "1")])
def test_an_impossible_sandbox_is_refused(labkit: Labkit, counts: tuple[str, str]) -> None:
    said = labkit(
        "sandbox", "up", "box", f"--seats={counts[0]}", f"--machines-per-seat={counts[1]}"
    )

    assert said.returncode == 2
    assert not (labkit.folder / "box").exists()


def test_without_an_engine_the_controller_is_to_blame(labkit: Labkit) -> None:
    said = labkit("sandbox", "up", "box", DOCKER_HOST="unix:///no/such/socket")

    assert said.returncode == 3
    assert len(said.stderr.splitlines()) >= 2
    assert "Traceback" not in said.stderr


def test_what_nobody_foresaw_becomes_a_log(tmp_path: Path) -> None:
    trap = "import labkit.cli as cli; cli.labkit.main = lambda **_: 1 / 0; cli.main()"
    said = subprocess.run(
        [sys.executable, "-c", trap],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    (log,) = tmp_path.glob("labkit-bug-*.log")

    assert said.returncode == 70
    assert str(log) in said.stderr
    assert "Traceback" not in said.stderr
    assert "ZeroDivisionError" in log.read_text()


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        ("errors.LabkitError('a', 'b')", 1),
        ("errors.BadInput('a', 'b')", 2),
        ("errors.ControllerError('a', 'b')", 3),
        ("KeyboardInterrupt", 130),
    ],
)
def test_each_kind_of_failure_has_its_exit_code(raised: str, code: int) -> None:
    trap = f"""
import labkit.cli as cli
from labkit import errors
def fail(**_): raise {raised}
cli.labkit.main = fail
cli.main()
"""
    said = subprocess.run([sys.executable, "-c", trap], capture_output=True, text=True, check=False)

    assert said.returncode == code
    assert said.stderr == ("interrupted\n" if code == 130 else "labkit: a\n  → b\n")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("leaving", ["its threads are awaited", "its modules are taken down"])
def test_a_signal_while_labkit_leaves_changes_no_exit_code(leaving: str, number: str) -> None:
    # What was stopped has said so; a second Ctrl-C may come as late as this.
    trap = f"""
import os, signal, threading
from labkit import cli, errors
def fail(**_): raise errors.LabkitError('a', 'b')
def hit(kill=os.kill, me=os.getpid(), number=signal.{number}): kill(me, number)
class Late:
    def __del__(self, hit=hit): hit()
def after_main():
    threading.main_thread().join()
    hit()
if {leaving.startswith("its modules")}: late = Late()
else: threading.Thread(target=after_main).start()
cli.labkit.main = fail
cli.main()
"""
    said = subprocess.run([sys.executable, "-c", trap], capture_output=True, text=True, check=False)

    assert (said.returncode, said.stderr) == (1, "labkit: a\n  → b\n")


def complete(labkit: Labkit, line: str) -> list[str]:
    """Return what the shell would offer at the end of a line."""
    words = line.split(" ")
    said = subprocess.run(
        [Path(sys.executable).with_name("labkit")],
        cwd=labkit.folder,
        env=labkit.environment(
            {
                "_LABKIT_COMPLETE": "bash_complete",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(words) - 1),
            }
        ),
        capture_output=True,
        text=True,
        check=False,
    )
    return [offer.partition(",")[2] for offer in said.stdout.splitlines()]


def test_the_shell_completes_verbs_options_and_roles(labkit: Labkit) -> None:
    assert complete(labkit, "labkit prov") == ["provision"]
    assert "--limit" in complete(labkit, "labkit verify --l")
    assert complete(labkit, "labkit provision --tags preflight,i") == ["preflight,images"]


def test_the_shell_completes_machines_and_seats_of_an_earlier_run(labkit: Labkit) -> None:
    (labkit.folder / ".labkit").mkdir()
    (labkit.folder / ".labkit" / "verdicts.json").write_text('{"vm1": {"seat": "seat01"}}')

    assert complete(labkit, "labkit verify -i class.ini --limit ") == ["seat01", "vm1"]
    assert "vm1" not in complete(labkit, "labkit verify --limit ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(labkit: Labkit, shell: str) -> None:
    script = subprocess.run(
        [Path(sys.executable).with_name("labkit")],
        env=labkit.environment({"_LABKIT_COMPLETE": f"{shell}_source"}),
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"{shell}_complete" in script.stdout
