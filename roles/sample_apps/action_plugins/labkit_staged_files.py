"""Pack the files of several folders into one archive, and hand it to the module that stages it."""

from __future__ import annotations

import base64
import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

# What an instructor's editor, git or npm leaves in a folder is none of the attendee's business.
LEFT_OUT = {".git", ".DS_Store", "__pycache__", "node_modules"}


def files_of(folder: Path) -> list[Path]:
    """Return the regular files in a folder, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and not LEFT_OUT & set(path.relative_to(folder).parts)
    )


def from_the_depot(files: dict[str, bytes], depot: str) -> dict[str, bytes]:
    """Return the files, with npm's registry named in each folder that has a lock of modules."""
    line = f"registry={depot}/npm/\n".encode()
    found = dict(files)
    for name in files if depot else ():
        folder, slash, last = name.rpartition("/")
        if last == "package-lock.json":
            place = f"{folder}{slash}.npmrc"
            own = files.get(place, b"")
            found[place] = own + (b"\n" if own and not own.endswith(b"\n") else b"") + line
    return found


def pack(root: Path, names: list[str], depot: str = "") -> bytes:
    """
    Return a compressed tar archive; the same files give the same bytes.

    A script is executable whatever its mode says: a wheel may have lost the mode.
    """
    stream = io.BytesIO()
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for name in names
        for path in files_of(root / name)
    }
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in from_the_depot(files, depot).items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            entry.mode = 0o755 if content.startswith(b"#!") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), mtime=0)


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """One archive, one round trip."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Pack on the controller, stage on the machine."""
        super().run(tmp, task_vars)
        names, root = self._task.args["names"], Path(self._task.args["root"]).resolve()
        depot = self._task.args.get("depot") or ""
        result: dict[str, Any] = self._execute_module(
            module_args={
                "archive": base64.b64encode(pack(root, names, depot)).decode(),
                "owner": self._task.args["owner"],
            },
            task_vars=task_vars,
        )
        # It would carry the archive into every record of the run.
        result.pop("invocation", None)
        return result
