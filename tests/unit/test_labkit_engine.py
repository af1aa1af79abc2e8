"""How apt is asked for the engine, and what is told of its answer."""

import runpy
from pathlib import Path
from types import SimpleNamespace

ROLE = Path(__file__).parents[2] / "roles/docker_engine"
engine = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_engine.py")))

CHOICE = {"packages": {"docker-ce": "5:28.5.1-1"}, "remove": ["docker.io"]}


def test_the_old_engine_leaves_in_the_transaction_that_brings_the_new_one() -> None:
    command = engine.apt_command(CHOICE, apparmor=False)

    assert command[-2:] == ["docker-ce=5:28.5.1-1", "docker.io-"]


def test_apparmors_parser_comes_along_where_the_kernel_uses_it() -> None:
    assert engine.apt_command(CHOICE, apparmor=True)[-1] == "apparmor"
