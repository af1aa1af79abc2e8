"""Writes the depot's whole stock into one file, for a room without internet."""

import errno
import os
from dataclasses import asdict
from pathlib import Path

from labkit.classroom import Request, read_class
from labkit.depot.orders import carry_out, require_depot
from labkit.display import Freight
from labkit.errors import BadInput
from labkit.lock import NAME, read_lock
from labkit.scratch import run_directory


def bundle(request: Request, file: Path, show: Freight) -> int:
    """
    Write the bundle, and return its bytes; the file is there when it is whole.

    Raises:
        LabkitError: The depot is not reached, or its store is damaged.
    """
    with run_directory() as scratch:
        known = read_class(request, scratch)
        depot = require_depot(known)
        lock = read_lock(known.directory)
        if not lock:
            raise BadInput(
                f"there is no {NAME} beside {request.inventory}: the depot is empty",
                "fill it first: labkit depot seed",
            )
        task = {"verb": "bundle", "lock": {name: asdict(one) for name, one in lock.items()}}
        show.begin(f"bundling what {depot.machine.name} holds into {file.name}")
        draft = file.with_name(f"{file.name}.part")
        try:
            with draft.open("wb") as data:
                carry_out(depot, scratch, task, show.take, take=data.write)
                data.flush()
                os.fsync(data.fileno())
            draft.replace(file)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise
            hint = "take a file system that has larger files: exFAT, or ext4"
            raise BadInput(
                f"{file} cannot be written: {error.strerror}",
                hint if error.errno == errno.EFBIG else None,
            ) from None
        finally:
            # It cannot be gone on with, and takes room.
            draft.unlink(missing_ok=True)
        return file.stat().st_size
