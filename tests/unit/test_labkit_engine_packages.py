"""Which package of the engine a machine gets."""

import pytest
from ansible.module_utils import labkit_engine_versions as choosing

POLICY = """\
docker-ce:
  Installed: 5:28.5.1-1~debian.13~trixie
  Candidate: 5:29.1.0-1~debian.13~trixie
  Version table:
     5:29.1.0-1~debian.13~trixie 500
        500 https://download.docker.com/linux/debian trixie/stable amd64 Packages
     5:28.51.0-1~debian.13~trixie 500
        500 https://download.docker.com/linux/debian trixie/stable amd64 Packages
 *** 5:28.5.1-1~debian.13~trixie 500
        500 https://download.docker.com/linux/debian trixie/stable amd64 Packages
        100 /var/lib/dpkg/status
containerd.io:
  Installed: (none)
  Candidate: 2.1.0-1
  Version table:
     2.1.0-1 500
        500 https://download.docker.com/linux/debian trixie/stable amd64 Packages
     2.0.0-1 500
        500 https://download.docker.com/linux/debian trixie/stable amd64 Packages
docker-ce-cli:
  Installed: (none)
  Candidate: (none)
  Version table:
"""
NEWEST, ODD, OLD = (f"5:{v}-1~debian.13~trixie" for v in ("29.1.0", "28.51.0", "28.5.1"))
KNOWN = choosing.read_policy(POLICY)


@pytest.mark.parametrize(
    ("version", "prefix", "fits"),
    [
        ("5:28.5.2-1~debian.13~trixie", "28.5", True),
        ("28.5.2+dfsg1-1", "28.5.2", True),
        ("28.5.2+dfsg1-1", "28", True),
        ("28.5.2-0ubuntu1", "28.5.2-0ubuntu1", True),
        ("5:28.5.2-1", "5:28.5.2-1", True),
        ("5:28.51.0-1", "28.5", False),
        ("5:28.5.20-1", "28.5.2", False),
        ("128.5.2", "28.5", False),
        ("anything", "", True),
    ],
)
def test_a_prefix_means_a_release_not_a_string(version: str, prefix: str, *, fits: bool) -> None:
    assert choosing.fits(version, prefix) is fits


def test_apt_tells_candidate_and_versions_newest_first() -> None:
    assert KNOWN["docker-ce"] == (NEWEST, [NEWEST, ODD, OLD])
    assert KNOWN["docker-ce-cli"] == ("", [])


def test_unset_takes_the_candidate() -> None:
    chosen = choosing.choose_all(["docker-ce", "containerd.io"], KNOWN, "", [])

    assert chosen == {"docker-ce": NEWEST, "containerd.io": "2.1.0-1"}


@pytest.mark.parametrize("prefix", ["", "28.5"])
def test_the_lock_of_the_class_comes_before_the_candidate(prefix: str) -> None:
    lock = {"docker-ce": OLD, "containerd.io": "2.0.0-1"}

    assert choosing.choose_all([*lock], KNOWN, prefix, [lock, {}]) == lock


def test_what_is_held_stays_where_the_class_has_no_lock() -> None:
    held = {"docker-ce": OLD, "containerd.io": "2.0.0-1"}

    assert choosing.choose_all([*held], KNOWN, "", [{}, held]) == held


def test_a_lock_that_the_pin_overrules_does_not_keep_the_old_containerd() -> None:
    lock = {"docker-ce": OLD, "containerd.io": "2.0.0-1"}

    chosen = choosing.choose_all([*lock], KNOWN, "29", [lock, lock])

    assert chosen == {"docker-ce": NEWEST, "containerd.io": "2.1.0-1"}


def test_a_locked_version_that_is_gone_gives_way_to_the_candidate() -> None:
    lock = {"docker-ce": "5:27.0.0-1", "containerd.io": "2.0.0-1"}

    assert choosing.choose_all([*lock], KNOWN, "", [lock, {}])["docker-ce"] == NEWEST


def test_a_version_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(choosing.Refusal, match=r"docker-ce 27 .*apt knows: 5:29\.1\.0.*28\.5\.1"):
        choosing.choose_all(["docker-ce"], KNOWN, "27", [])


def test_debian_12_is_refused_with_the_way_out() -> None:
    with pytest.raises(choosing.Refusal, match="docker_engine_source: docker"):
        choosing.packages_of("distribution", "debian", "12")


def test_the_engine_of_one_source_is_in_the_way_of_the_other() -> None:
    distribution = choosing.packages_of("distribution", "debian", "13")
    docker = choosing.packages_of("docker", "debian", "13")

    assert set(distribution) <= set(choosing.in_the_way(docker))
    assert set(docker) <= set(choosing.in_the_way(distribution))
    assert "podman-docker" in choosing.in_the_way(docker)
