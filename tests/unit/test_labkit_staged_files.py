"""Which staged files are ours, and which the attendee's."""

import base64
import contextlib
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils import labkit_staged as staged

ROLE = Path(__file__).parents[2] / "roles/sample_apps"
action = SimpleNamespace(**runpy.run_path(str(ROLE / "action_plugins/labkit_staged_files.py")))
module = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_staged_files.py")))

OLD, NEW, HIS = (module.File(text, executable=False) for text in (b"old", b"new", b"his"))


@pytest.mark.parametrize(
    ("new", "before", "here", "decision"),
    [
        (NEW, None, None, "write"),  # the first time
        (NEW, NEW, NEW, ""),
        (NEW, NEW, None, "write"),  # the attendee deleted it
        (NEW, NEW, HIS, "keep"),
        (NEW, OLD, OLD, "write"),  # ours is newer
        (NEW, OLD, HIS, "keep"),
        (NEW, OLD, NEW, ""),  # a run was cut short
        (NEW, None, HIS, "keep"),  # it was there before labkit came
        (None, OLD, OLD, "remove"),  # no longer part of the app
        (None, OLD, HIS, ""),
        (NEW, NEW, NEW._replace(executable=True), "keep"),
    ],
)
def test_what_the_attendee_changed_is_kept(
    new: object, before: object, here: object, decision: str
) -> None:
    write, remove, keep = module.decide(
        {"a": new} if new else {}, {"a": before} if before else {}, {"a": here}
    )

    assert {"write": write, "remove": remove, "keep": keep} == {
        name: ["a"] if name == decision else [] for name in ("write", "remove", "keep")
    }


def test_the_archive_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    app = tmp_path / "app"
    (app / "node_modules").mkdir(parents=True)
    (app / "node_modules/big.js").write_text("big")
    (app / "run.sh").write_text("#!/bin/sh\n")
    (app / "text").write_text("text")
    (app / "link").symlink_to("/etc/passwd")
    packed = action.pack(tmp_path, ["app"])
    (app / "text").touch()

    assert action.pack(tmp_path, ["app"]) == packed
    assert module.unpack(base64.b64encode(packed).decode()) == {
        "app/run.sh": module.File(b"#!/bin/sh\n", executable=True),
        "app/text": module.File(b"text", executable=False),
    }


def test_the_record_holds_exactly_what_was_staged(tmp_path: Path) -> None:
    record = tmp_path / "record"
    module.remember(record, {"app/a": OLD, "app/b": OLD})
    module.remember(record, {"app/a": NEW})

    assert module.read_all(record) == {"app/a": NEW}


def test_a_link_in_place_of_a_file_is_the_attendees(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("/etc/shadow")

    write, _, keep = module.decide({"a": NEW}, {"a": NEW}, {"a": module.read(tmp_path / "a")})

    assert (write, keep) == ([], ["a"])


@pytest.mark.parametrize(
    ("own", "then"),
    [
        (b"fund=false\n", b"fund=false\nregistry=http://d:5080/npm/\n"),
        (b"fund=false", b"fund=false\nregistry=http://d:5080/npm/\n"),
        (None, b"registry=http://d:5080/npm/\n"),
    ],
)
def test_an_app_with_a_lock_of_modules_gets_them_from_the_depot(
    own: bytes | None, then: bytes
) -> None:
    files = {"todo/package-lock.json": b"{}", "clock/clock.sh": b"#!"}
    if own is not None:
        files["todo/.npmrc"] = own

    found = action.from_the_depot(files, "http://d:5080")

    assert found == {**files, "todo/.npmrc": then}
    assert action.from_the_depot(files, "") == files


LINE = b"registry=http://d:5080/npm/\n"


@pytest.mark.parametrize(
    ("content", "here", "then"),
    [
        (b"fund=false\n" + LINE, b"fund=false\n" + LINE, b"fund=false\n"),
        (LINE, LINE, None),
        (LINE, b"his=1\n" + LINE, b"his=1\n" + LINE),
        (LINE, None, None),
    ],
)
def test_a_dead_depots_line_goes_where_the_attendee_left_the_file_as_it_was(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    here: bytes | None,
    then: bytes | None,
) -> None:
    record, home = tmp_path / "record", tmp_path / "home"
    account = SimpleNamespace(pw_dir=str(home))
    monkeypatch.setattr(staged, "pwd", SimpleNamespace(getpwnam=lambda _: account))
    monkeypatch.setattr(staged, "acting_as", lambda _: contextlib.nullcontext())
    files = {"todo/.npmrc": staged.File(content, executable=False), "todo/a": OLD}
    staged.remember(record, files)
    if here is not None:
        staged.put(home / "todo/.npmrc", staged.File(here, executable=False))

    assert staged.without_depot(record, "student", "http://d:5080") == ["todo/.npmrc"]
    assert staged.without_depot(record, "student", "http://d:5080") == []
    left = staged.read(home / "todo/.npmrc")
    assert (left and left.content) == then
    # As a run without a depot would stage it.
    without = content.replace(LINE, b"")
    wanted = {"todo/.npmrc": staged.File(without, executable=False)} if without else {}
    kept = module.decide(wanted, staged.read_all(record), {"todo/.npmrc": left, "todo/a": OLD})[2]
    assert kept == []
