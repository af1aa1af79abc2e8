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


def pack(root: Path, names: list[str]) -> bytes:
    """
    Return a compressed tar archive; the same files give the same bytes.

    A script is executable whatever its mode says: a wheel may have lost the mode.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in (file for name in names for file in files_of(root / name)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(str(path.relative_to(root)))
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
        result: dict[str, Any] = self._execute_module(
            module_args={
                "archive": base64.b64encode(pack(root, names)).decode(),
                "owner": self._task.args["owner"],
            },
            task_vars=task_vars,
        )
        # It would carry the archive into every record of the run.
        result.pop("invocation", None)
        return result
