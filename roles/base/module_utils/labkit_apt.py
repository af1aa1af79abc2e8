"""Run apt-get without a question, and tell when another one keeps it from working."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

# apt waits this long by itself, for one of its two locks only.
BRIEFLY = 3
_OPTIONS = (
    *("-q", "-o", f"DPkg::Lock::Timeout={BRIEFLY}", "-o", "Dpkg::Use-Pty=0"),
    # What somebody changed in a package's own files stays.
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
)
# dpkg says what is wrong on the lines after its name.
_REASONS = re.compile(
    r"^(?:E:|W:| .*(?:Depends|Conflicts|Breaks):).*|^dpkg:.*(?:\n[ \t].*)*", re.MULTILINE
)
# What the role base writes where the class has a depot.
DEPOT = Path("/etc/apt/apt.conf.d/95labkit-depot")
_DIRECTLY = ("-o", "Acquire::http::Proxy-Auto-Detect=")
# A process of apt's that fetches asks once which way to go, and stays on it until its end.
_UNFETCHED = re.compile(r"Failed to fetch|Unable to fetch|Could not connect|index files failed")
_FETCH = re.compile(r"Failed to fetch (.+)")
_LOCKED = re.compile(r"Could not get lock|Unable to (?:acquire|lock)|is another process using it")
_HOLDER = re.compile(r"Could not get lock (\S+?)\. It is held by process (\d+) \(([^)]*)\)")
_LOCK = re.compile(r"(?:Could not get lock |Unable to .* lock \()(\S+?)(?:\)|\.? )")


class Answer(NamedTuple):
    """
    What came of apt-get: `wrong` is "" if it went well, `waiting` "" if nobody is in its way.

    `notes` tell what the instructor should know all the same.
    """

    wrong: str
    waiting: str = ""
    notes: tuple[str, ...] = ()

    def result(self) -> dict[str, Any]:
        """Return for whom we wait, as a task's result: for `until`, and for when it gives up."""
        todo = "let it finish, or end it there; then run again"
        return {
            "waiting": self.waiting,
            "notes": [f"waited for apt: {self.waiting}"],
            "problems": [{"what": f"apt stayed busy: {self.waiting}", "todo": todo}],
        }


def apt_get(*words: str) -> Answer:
    """
    Run apt-get; one that holds a lock is named, as apt itself knows it.

    What an earlier transaction left half done when it was cut off is finished first: apt
    refuses to do anything before that. What could not be fetched through the class's depot is
    fetched directly: it may have died in the middle, or reach one of our sources not at all.
    """
    way: tuple[str, ...] = ()
    code, output, errors = _run("apt-get", *_OPTIONS, *words)
    notes: tuple[str, ...] = ()
    if DEPOT.exists() and _UNFETCHED.search(f"{output}\n{errors}"):
        why = next(iter(_FETCH.findall(errors)), "no reason given")
        way = _DIRECTLY
        code, output, errors = _run("apt-get", *_OPTIONS, *way, *words)
        if not _UNFETCHED.search(f"{output}\n{errors}"):
            notes = (f"apt went on directly, since through the depot it could not fetch: {why}",)
    if code != 0 and "dpkg --configure -a" in errors:
        _run("dpkg", "--configure", "-a")
        code, output, errors = _run("apt-get", *_OPTIONS, *way, *words)
    if code == 0:
        return Answer("", notes=notes)
    return Answer(explain(output, errors), holder(output, errors), notes)


def explain(output: str, errors: str) -> str:
    """Return the lines of apt's output that say why it failed."""
    found = _REASONS.findall(f"{output}\n{errors}")
    return "\n".join(found or [line for line in (errors or output).splitlines() if line][-10:])


def holder(output: str, errors: str) -> str:
    """
    Return who holds which lock, as far as apt's words tell; "" if nobody does.

    That it could not get a lock stands among its errors, who has it often only before, where
    it tells that it waits.
    """
    if not _LOCKED.search(errors):
        return ""
    if found := _HOLDER.search(output + errors):
        file, pid, name = found.groups()
        return f"{name} (process {pid}) holds {file}"
    found = _LOCK.search(errors)
    return f"{_owner(found[1])} holds {found[1]}" if found else "another process holds its lock"


def _owner(file: str) -> str:
    """
    Return the process that has a file locked, as the kernel's list of locks has it.

    apt shows who holds a lock while it waits, but draws that line only where its clock says that
    0.7 s have passed since it drew another (OpProgress in apt's source).
    """
    try:
        inode = str(Path(file).stat().st_ino)
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            # 1: POSIX  ADVISORY  WRITE 4711 fd:01:131 0 EOF
            words = line.split()
            if words[1] == "POSIX" and words[-3].split(":")[-1] == inode:
                name = Path("/proc", words[-4], "comm").read_text(encoding="utf-8").strip()
                return f"{name} (process {words[-4]})"
    except OSError:
        pass
    return "another process"


def _run(*words: str) -> tuple[int, str, str]:
    # It asks nothing, also not which services to restart; needrestart would even restart sshd.
    silent = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words,
        env={**os.environ, **silent},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
