"""The wheel alone, installed beside labkit's dependencies, is enough to provision a class."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", folder)
    subprocess.run([*PIP, "wheel", *options, ROOT], check=True)
    (built,) = folder.glob("labkit-*.whl")
    return built


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a new environment that has the wheel; what labkit depends on is lent to it."""
    place = tmp_path_factory.mktemp("fresh")
    venv.create(place, symlinks=True)
    python = place / "bin" / "python"
    command = [*PIP, "--python", python, "install", "--no-deps", "--no-index", wheel]
    subprocess.run(command, check=True)
    (site,) = place.glob("lib/python*/site-packages")
    # A path file of that folder, such as the editable labkit's, does not count here.
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"])
    ansible = place / "bin" / "ansible-playbook"
    ansible.write_text(f"#!{python}\nfrom ansible.cli.playbook import main\nmain()\n")
    ansible.chmod(0o755)
    return place


def run(fresh: Path, place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [fresh / "bin" / command[0], *command[1:]],
        cwd=place,
        env={**bare, "PATH": "/usr/bin:/bin", "TMPDIR": "/tmp"},  # noqa: S108 - as a user has it
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "folder", ["playbooks", "roles", "fortune-clock", "todo", "guide", "tests/images"]
)
def test_it_carries_all_that_makes_a_machine(content: set[str], folder: str) -> None:
    listed = subprocess.check_output(["git", "ls-files", folder], cwd=ROOT, text=True)

    assert {f"labkit/content/{name}" for name in listed.split()} <= content


def test_it_carries_what_makes_a_sandbox(content: set[str]) -> None:
    machine = ROOT / "labkit" / "sandbox" / "machine"

    assert {f"labkit/sandbox/machine/{one.name}" for one in machine.iterdir()} <= content


def test_it_carries_neither_tests_nor_leftovers(content: set[str]) -> None:
    strange = [name for name in content if not re.match(r"labkit/|labkit-[\d.]+\.dist-info/", name)]
    tests = [name for name in content if "/tests/" in name and "/tests/images/" not in name]
    # The to-do app has files that begin with a dot: what git knows is meant to be there.
    known = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    meant = {f"labkit/content/{name}" for name in known.stdout.splitlines()}
    odd = re.compile(r"\.pyc$|~$|\.orig$|/\.|/node_modules/")
    leftovers = [name for name in content - meant if odd.search(name)]

    assert (strange, tests, leftovers) == ([], [], [])


def test_what_is_installed_is_what_runs(fresh: Path, tmp_path: Path) -> None:
    code = "from labkit.paths import content; print(content())"
    said = run(fresh, tmp_path, "python", "-c", code)

    assert Path(said.stdout.strip()).is_relative_to(fresh)
    assert re.fullmatch(
        r"labkit [\d.]+ \(ansible-core 2[\d.]+\)\n",
        run(fresh, tmp_path, "labkit", "--version").stdout,
    )


def test_it_goes_to_the_machines_of_a_class_from_any_folder(fresh: Path, tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "class.ini").write_text(
        "[machines]\nvm1 ansible_host=127.0.0.1 ansible_port=1\n"
    )
    (tmp_path / "empty").mkdir()
    said = run(
        fresh, tmp_path / "empty", "labkit", "provision", "-i", "../class/class.ini", "--check"
    )

    assert said.returncode == 1, said.stderr
    assert re.search(r"vm1 +unreachable +preflight: Look at the machine", said.stdout)
    assert "Connection refused" in said.stdout
    assert list((tmp_path / "empty").iterdir()) == []
