"""What the depot is told to do, and what becomes of it where something gives way."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.classroom import Depot, Machine
from labkit.depot.orders import carry_out
from labkit.errors import LabkitError
from labkit.ssh import Connection


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    """A depot that is this very box, on which whoever tests counts as root."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 0\n")
    (tmp_path / "id").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "depot").mkdir()
    inputs = {"depot_directory": str(tmp_path / "depot"), "depot_reserve_mb": 0}
    return Depot(Machine("desk", "desk", 1, Connection("desk"), inputs), "http://desk", local=True)


def test_a_file_that_ends_early_ends_the_import_with_its_own_error(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.depot.orders.OWNER", "")

    def stick() -> Iterator[bytes]:
        yield bytes(512)
        raise OSError(errno.EIO, "Input/output error", "/media/stock.tar")

    with pytest.raises(LabkitError, match=r"/media/stock.tar cannot .*: Input/output error"):
        carry_out(depot, tmp_path, {"verb": "load"}, lambda _: None, feed=stick())
