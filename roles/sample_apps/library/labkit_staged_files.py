#!/usr/bin/python
"""Stage files in somebody's home, and keep what he made of them."""

from __future__ import annotations

import base64
import io
import os
import pwd
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_account import acting_as
from ansible.module_utils.labkit_staged import RECORD, File, Files, put, read, read_all, remember

if TYPE_CHECKING:
    from collections.abc import Mapping

DOCUMENTATION = r"""
module: labkit_staged_files
short_description: Stage files in a home
description:
  - Writes the files of an archive into the owner's home. A file that is not as it was staged
    is his work and stays; one that is gone comes back; one that is as it was follows the archive.
  - Keeps the files as they were staged in I(record), which only root can write.
options:
  archive: {description: "A tar.gz, in base64.", type: str, required: true}
  owner: {description: The account., type: str, required: true}
  record: {description: Where the originals are kept., type: path}
author: [labkit]
"""
EXAMPLES = r"""
- name: Stage the apps
  labkit_staged_files: {root: /srv/labkit, names: [fortune-clock], owner: student}
"""
RETURN = r"""
kept: {description: Files that the owner changed., type: list, returned: success}
notes: {description: What the instructor should know., type: list, returned: success}
staged: {description: Files that were written., type: list, returned: success}
"""


def unpack(archive: str) -> Files:
    """Return the files of an archive by their path."""
    data = base64.b64decode(archive)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {
            entry.name: File(stream.read(), bool(entry.mode & 0o100))
            for entry in tar.getmembers()
            if (stream := tar.extractfile(entry))
        }


def decide(
    new: Files, before: Mapping[str, File], home: Mapping[str, File | None]
) -> tuple[list[str], list[str], list[str]]:
    """
    Return the paths to write, to remove and to keep.

    A file that is neither as it is to be now nor as it was staged before is the owner's.
    """
    write, remove, keep = [], [], []
    for path in sorted({*new, *before}):
        here, old, wanted = home.get(path), before.get(path), new.get(path)
        if wanted is None:
            if here == old:
                remove.append(path)
        elif here is None or (here != wanted and here == old):
            write.append(path)
        elif here != wanted:
            keep.append(path)
    return write, remove, keep


def main() -> None:
    """Compare, write, remember."""
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "record": {"type": "path", "default": RECORD},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    new, record = unpack(module.params["archive"]), Path(module.params["record"])
    try:
        account = pwd.getpwnam(module.params["owner"])
    except KeyError:
        if module.check_mode:
            module.exit_json(changed=True, staged=sorted(new), kept=[])
        module.fail_json(msg=f"There is no account {module.params['owner']}; run role attendee")
    before = read_all(record)
    home = Path(account.pw_dir)
    try:
        with acting_as(account):
            here = {path: read(home / path) for path in {*new, *before}}
            write, remove, keep = decide(new, before, here)
            if not module.check_mode:
                for path in write:
                    put(home / path, new[path])
                for path in remove:
                    (home / path).unlink()
                missing = [path for path in write if read(home / path) != new[path]]
                if missing:
                    module.fail_json(msg=f"Not as they were written: {', '.join(missing)}")
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be staged: {error.strerror}")
    if not module.check_mode:
        remember(record, new)
    notes = [f"kept as the attendee changed them: {', '.join(keep)}"] if keep else []
    module.exit_json(changed=bool(write or remove), staged=write, kept=keep, notes=notes)


if __name__ == "__main__":
    main()
