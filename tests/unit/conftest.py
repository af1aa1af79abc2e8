"""The command line to try, and a role's own modules, found as they are on a machine."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import ansible.module_utils
import pytest
from commandline import Labkit
from hypothesis import settings

# A run says the same as the last one, also on a slow box; --hypothesis-seed=N looks elsewhere.
settings.register_profile("labkit", deadline=None, database=None, derandomize=True)
settings.load_profile("labkit")

for folder in sorted(Path(__file__).parents[2].glob("roles/*/module_utils")):
    ansible.module_utils.__path__.append(str(folder))


@pytest.fixture
def labkit(tmp_path: Path) -> Iterator[Labkit]:
    one = Labkit(tmp_path)
    yield one
    shutil.rmtree(one.scratch)
