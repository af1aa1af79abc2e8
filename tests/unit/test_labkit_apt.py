"""What is told of apt's answer: its reasons, and who keeps it waiting."""

import subprocess
import sys
from pathlib import Path

import pytest
from ansible.module_utils import labkit_apt as apt

HELD = (
    "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 812 (unattended-upgr)"
)


def test_a_failure_tells_apts_reasons_and_not_its_pages() -> None:
    output = (
        "Reading package lists...\nThe following packages have unmet dependencies:\n"
        " docker-ce : Depends: iptables but it is not installable\n"
    )
    errors = "E: Unable to correct problems, you have held broken packages.\n"

    assert apt.explain(output, errors).splitlines() == [
        " docker-ce : Depends: iptables but it is not installable",
        "E: Unable to correct problems, you have held broken packages.",
    ]


def test_why_dpkg_refused_an_archive_stands_on_its_next_line() -> None:
    errors = (
        "dpkg: error processing archive /var/cache/apt/archives/docker-ce-cli.deb (--unpack):\n"
        " trying to overwrite '/usr/share/man/man1/docker.1.gz', which is also in package docker-ce\n"
        "E: Sub-process /usr/bin/dpkg returned an error code (1)\n"
    )

    assert "which is also in package docker-ce\nE:" in apt.explain("Unpacking ...\n", errors)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (HELD, "unattended-upgr (process 812) holds /var/lib/dpkg/lock-frontend"),
        (
            "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (apt-get)\nE: …",
            "apt-get (process 9) holds /var/lib/apt/lists/lock",
        ),
        (
            "E: Could not get lock /var/lib/dpkg/lock - open (11: Resource temporarily unavailable)",
            "another process holds /var/lib/dpkg/lock",
        ),
        ("E: Unable to locate package nonsense", ""),
    ],
)
def test_who_holds_a_lock_is_named(said: str, expected: str) -> None:
    assert apt.holder("", said) == expected


def test_who_holds_a_lock_may_stand_where_apt_tells_that_it_waits() -> None:
    output = f"Waiting for cache lock: {HELD.removeprefix('E: ')}...\n"
    errors = (
        "E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend),"
        " is another process using it?\n"
    )

    assert apt.holder(output, errors).startswith("unattended-upgr (process 812) holds")
    assert apt.holder("", errors) == "another process holds /var/lib/dpkg/lock-frontend"


def test_a_held_lock_is_seen_in_the_words_of_this_boxs_apt(tmp_path: Path) -> None:
    holding = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(flush=True); input()"
    (tmp_path / "partial").mkdir()
    lists = f"Dir::State::Lists={tmp_path}"
    with subprocess.Popen(
        [sys.executable, "-c", holding, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        process.stdout.readline()
        answer = apt.apt_get("update", "-o", lists)
        silent = apt.holder("", f"E: Unable to acquire the lock ({tmp_path}/lock), is another…")
        process.communicate(b"\n")

    assert f"(process {process.pid}) holds {tmp_path}/lock" in answer.waiting
    assert silent.endswith(f" (process {process.pid}) holds {tmp_path}/lock")
    assert answer.result()["problems"][0]["what"].endswith(answer.waiting)


UNFETCHED = "E: Failed to fetch http://archive.example/vim.deb  502  Bad Gateway\n"


@pytest.mark.parametrize(
    ("depot", "answers", "noted"),
    [
        (True, [(100, "", UNFETCHED), (0, "", "")], True),
        (True, [(0, "", "W: Some index files failed to download.\n"), (0, "", "")], True),
        (True, [(100, "", UNFETCHED), (100, "", UNFETCHED)], False),  # it is not the depot's fault
        (True, [(0, "", "")], False),
        (False, [(100, "", UNFETCHED)], False),
    ],
)
def test_what_the_depot_did_not_fetch_is_fetched_directly(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: list[tuple[int, str, str]],
    *,
    depot: bool,
    noted: bool,
) -> None:
    asked = []
    monkeypatch.setattr(apt, "DEPOT", tmp_path / "95labkit-depot")
    if depot:
        apt.DEPOT.touch()
    left = list(answers)
    monkeypatch.setattr(apt, "_run", lambda *words: (asked.append(words), left.pop(0))[1])

    answer = apt.apt_get("install", "vim")

    assert not left
    assert bool(answer.notes) is noted
    assert bool(answer.wrong) is (answers[-1][0] != 0)
    assert ["Acquire::http::Proxy-Auto-Detect=" in words for words in asked] == [False, True][
        : len(answers)
    ]


def test_what_dpkg_left_half_done_is_finished_on_the_way_that_worked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n"
    left = [(100, "", UNFETCHED), (100, "", half), (0, "", ""), (0, "", "")]
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(apt, "DEPOT", tmp_path / "95labkit-depot")
    apt.DEPOT.touch()
    monkeypatch.setattr(apt, "_run", lambda *words: (asked.append(words), left.pop(0))[1])

    assert apt.apt_get("install", "vim").wrong == ""
    assert "Acquire::http::Proxy-Auto-Detect=" in asked[-1]
