"""What the depot is told to do, and what becomes of it where something gives way."""

import errno
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from labkit.classroom import Depot, Machine
from labkit.depot.orders import carry_out, holding
from labkit.depot.stock.turn import turn
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


def test_a_depot_that_is_being_filled_is_not_taken_down(depot: Depot, tmp_path: Path) -> None:
    (tmp_path / "depot/.labkit-depot").touch()
    with (
        turn(tmp_path / "depot", "labkit of eve on attic"),
        pytest.raises(LabkitError, match="eve on attic"),
        holding(depot, tmp_path),
    ):
        pass


def test_a_depot_that_is_being_taken_down_is_not_filled(depot: Depot, tmp_path: Path) -> None:
    (tmp_path / "depot/.labkit-depot").touch()
    with (
        holding(depot, tmp_path),
        pytest.raises(LabkitError, match="filled already"),
        turn(tmp_path / "depot", "eve"),
    ):
        pass
    with turn(tmp_path / "depot", "eve"):
        pass


def test_who_waited_until_a_depot_was_gone_does_not_make_it_anew(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        with turn(tmp_path, "labkit depot down"):
            second = pool.submit(lambda: turn(tmp_path, "eve").__enter__())
            time.sleep(0.5)
            (tmp_path / "turn").unlink()
        with pytest.raises(LabkitError, match="taken down"):
            second.result()


def test_no_other_folder_is_written_to(depot: Depot, tmp_path: Path) -> None:
    with holding(depot, tmp_path):
        assert list((tmp_path / "depot").iterdir()) == []


def test_a_file_that_ends_early_ends_the_import_with_its_own_error(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.depot.orders.OWNER", "")

    def stick() -> Iterator[bytes]:
        yield bytes(512)
        raise OSError(errno.EIO, "Input/output error", "/media/stock.tar")

    with pytest.raises(LabkitError, match=r"/media/stock.tar cannot .*: Input/output error"):
        carry_out(depot, tmp_path, {"verb": "load"}, lambda _: None, feed=stick())
