"""script/setup: what a killed engine left behind is no engine."""

import pathlib
import socket
import subprocess
import sys

SETUP = pathlib.Path(__file__).parents[2] / "script/setup"


def setup(commands: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "bash",
            "-c",
            f". {SETUP}; python={sys.executable}; {commands}",
            "setup",
            *map(str, arguments),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_socket_that_nobody_answers_is_removed(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))

    done = setup('forget_dead_socket "$1"', path)

    assert (done.returncode, done.stderr) == (0, "")
    assert not path.exists()


def test_a_socket_with_somebody_behind_it_stays(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "containerd.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        done = setup('forget_dead_socket "$1"', path)

    assert done.returncode == 0
    assert path.exists()


def test_where_no_socket_was_left_nothing_is_done(tmp_path: pathlib.Path) -> None:
    done = setup('forget_dead_socket "$1"', tmp_path / "containerd.sock")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_engine_that_ends_at_its_start_is_told_at_once_with_its_last_words() -> None:
    done = setup(
        "grant_access() { :; }; engine_answers() { false; };"
        "as_root() { echo 'failed to start daemon: no cgroups'; };"
        "true & engine_pid=$!; wait $engine_pid; SECONDS=0; await_engine",
    )

    assert done.returncode == 3
    assert done.stderr.splitlines() == [
        "failed to start daemon: no cgroups",
        "setup: the Docker engine was started and ended again",
    ]
