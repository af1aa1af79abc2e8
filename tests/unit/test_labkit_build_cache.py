"""Whether a build hit the cache."""

import runpy
from pathlib import Path
from types import SimpleNamespace

ROLE = Path(__file__).parents[2] / "roles/images"
cache = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_build_cache.py")))

PROGRESS = """\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#4 [1/3] FROM docker.io/library/ubuntu:24.04
#4 DONE 0.0s
#6 [2/3] RUN apt-get update
#6 CACHED
#7 [3/3] COPY clock.sh /usr/local/bin/clock.sh
"""
FAILED = """\
#5 [2/2] RUN apt-get install -y nix
#5 0.3 E: Unable to locate package nix
#5 ERROR: process "/bin/sh -c apt-get install -y nix" did not complete successfully: exit code: 100
------
 > [2/2] RUN apt-get install -y nix:
0.3 E: Unable to locate package nix
------
Dockerfile:2
--------------------
ERROR: failed to solve: process "/bin/sh -c apt-get install -y nix" did not complete successfully
"""


def test_a_step_that_is_not_cached_ran() -> None:
    assert cache.steps_run(PROGRESS + "#7 DONE 0.1s\n") == {"7"}


def test_a_build_that_hits_the_cache_ran_no_step() -> None:
    assert cache.steps_run(PROGRESS + "#7 CACHED\n") == set()


def test_stages_have_names() -> None:
    assert cache.steps_run("#8 [build 2/4] RUN npm ci\n#8 DONE 9.1s\n") == {"8"}


def test_a_failure_tells_what_the_step_said() -> None:
    told = cache.explain(FAILED)

    assert "Unable to locate package nix" in told
    assert "failed to solve" in told


def test_a_build_behind_a_depot_goes_through_it_but_not_for_the_depot_itself() -> None:
    assert cache.proxy_arguments("http://192.0.2.2:3142") == [
        "--build-arg=http_proxy=http://192.0.2.2:3142",
        "--build-arg=no_proxy=localhost,127.0.0.1,192.0.2.2",
        "--build-arg=NO_PROXY=localhost,127.0.0.1,192.0.2.2",
    ]
    assert cache.proxy_arguments("") == []
