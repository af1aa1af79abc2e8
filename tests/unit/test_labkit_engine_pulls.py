"""From where an image comes: the depot by digest, else its own registry, else by its name."""

from collections.abc import Callable

import pytest
from ansible.module_utils import labkit_engine_pulls as pulls

from labkit.depot.stock.names import HUB, read_name

OURS, OTHERS = "sha256:aa", "sha256:bb"
NONE = "manifest unknown"


class Scene(pulls.Engine):
    """An engine that answers each pull as the scene says, and notes what it was asked."""

    def __init__(
        self, answers: dict[str, str], without_depot: Callable[[], bool] = lambda: False
    ) -> None:
        super().__init__(60, without_depot)
        self.answers, self.asked = answers, []  # type: tuple[dict[str, str], list[str]]

    def pull_once(self, reference: str) -> None:
        self.asked.append(reference)
        if answer := self.answers.pop(reference, ""):
            raise pulls.PullError(answer)

    def tag(self, reference: str, name: str) -> None:
        self.asked.append(f"{reference} -> {name}")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls.time, "sleep", lambda _: None)


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("ubuntu", ""),
        ("jane/app", ""),
        ("docker.io/library/ubuntu", ""),
        ("index.docker.io/jane/app", ""),
        ("ghcr.io/a/b", "docker.io/ghcr.io/a/b"),
        ("registry-1.docker.io/a/b", "docker.io/registry-1.docker.io/a/b"),
        ("localhost/app", "docker.io/localhost/app"),
        # These the depot has not: see labkit.depot.seed.
        ("localhost:5000/app", ""),
        ("192.0.2.1:5000/app", ""),
    ],
)
def test_an_image_of_another_registry_has_the_name_under_which_the_depot_keeps_it(
    repository: str, name: str
) -> None:
    kept = read_name(repository)

    assert pulls.by_the_mirror(repository) == name
    if name:
        assert name == f"docker.io/{kept.repository}"
    else:
        assert kept.registry == HUB or ":" in kept.registry


def test_an_image_is_pulled_by_its_digest_and_then_named() -> None:
    engine = Scene({})

    assert engine.fetch("ubuntu:24.04", OURS, mirrored=True) == "exact"
    assert engine.asked == [f"ubuntu@{OURS}", f"ubuntu@{OURS} -> ubuntu:24.04"]


def test_an_image_of_another_registry_comes_from_the_depot() -> None:
    engine, odd = Scene({}), f"docker.io/ghcr.io/a/b@{OURS}"

    assert engine.fetch("ghcr.io/a/b:1", OURS, mirrored=True) == "exact"
    assert engine.asked == [odd, f"{odd} -> ghcr.io/a/b:1"]


def test_what_the_depot_lacks_comes_from_its_own_registry() -> None:
    odd, own = f"docker.io/ghcr.io/a/b@{OURS}", f"ghcr.io/a/b@{OURS}"
    engine = Scene({odd: "pull access denied"})

    assert engine.fetch("ghcr.io/a/b:1", OURS, mirrored=True) == "exact"
    assert engine.asked == [odd, own, f"{own} -> ghcr.io/a/b:1"]


@pytest.mark.parametrize("reference", [f"ghcr.io/a/b@{OURS}", f"ghcr.io/a/b:1@{OURS}"])
def test_an_image_named_by_its_digest_comes_from_the_depot_too(reference: str) -> None:
    engine, odd = Scene({}), f"docker.io/ghcr.io/a/b@{OURS}"

    assert engine.fetch(reference, "", mirrored=True) == "exact"
    assert engine.asked == [odd]


def test_a_digest_in_the_name_gives_way_to_nothing() -> None:
    engine = Scene({f"ubuntu@{OURS}": NONE})

    with pytest.raises(pulls.PullError, match=NONE):
        engine.fetch(f"ubuntu@{OURS}", OURS, mirrored=True)


def test_a_depot_that_died_is_asked_for_no_other_odd_name() -> None:
    odd, own = f"docker.io/ghcr.io/a/b@{OURS}", f"ghcr.io/a/b@{OURS}"
    engine = Scene({odd: "silent for 60 s"}, lambda: True)
    engine.fetch("ghcr.io/a/b:1", OURS, mirrored=True)
    engine.fetch("ghcr.io/a/c:1", OURS, mirrored=True)

    assert engine.asked[:2] == [odd, own]
    assert f"docker.io/ghcr.io/a/c@{OURS}" not in engine.asked


def test_without_a_depot_no_odd_name_is_tried() -> None:
    engine = Scene({})
    engine.fetch("ghcr.io/a/b:1", OURS, mirrored=False)

    assert engine.asked[0] == f"ghcr.io/a/b@{OURS}"


def test_a_digest_that_nobody_has_any_more_gives_way_to_the_name() -> None:
    engine = Scene({f"ubuntu@{OURS}": NONE})

    assert engine.fetch("ubuntu:24.04", OURS, mirrored=True) == "by tag"
    assert engine.asked == [f"ubuntu@{OURS}", "ubuntu:24.04"]


def test_a_full_disk_is_no_reason_to_ask_elsewhere() -> None:
    odd = f"docker.io/ghcr.io/a/b@{OURS}"
    engine = Scene({odd: "no space left on device"})

    with pytest.raises(pulls.PullError, match="no space"):
        engine.fetch("ghcr.io/a/b:1", OURS, mirrored=True)


def test_a_depot_that_died_has_the_image_pulled_again_whatever_it_said() -> None:
    engine = Scene({f"ubuntu@{OURS}": "unexpected EOF"}, lambda: True)

    assert engine.fetch("ubuntu:24.04", OURS, mirrored=True) == "exact"
    assert engine.asked[:2] == [f"ubuntu@{OURS}"] * 2


def test_a_final_answer_of_a_living_depot_is_final() -> None:
    engine = Scene({f"ubuntu@{OURS}": "unexpected EOF"})

    with pytest.raises(pulls.PullError, match="EOF"):
        engine.fetch("ubuntu:24.04", OURS, mirrored=True)


@pytest.mark.parametrize(
    ("reference", "there"),
    [
        ("ubuntu:24.04", True),
        ("docker.io/library/ubuntu:24.04", True),
        (f"ubuntu@{OURS}", True),
        (f"ubuntu:24.04@{OURS}", True),
        ("hello-world", True),
        ("ghcr.io/a/b:1", True),
        ("ubuntu", False),
        (f"ubuntu@{OTHERS}", False),
    ],
)
def test_an_image_is_found_in_the_engines_one_answer(reference: str, *, there: bool) -> None:
    shelf = pulls.Shelf(
        [
            {"Id": "1", "RepoTags": ["ubuntu:24.04"], "RepoDigests": [f"ubuntu@{OURS}"]},
            {"Id": "2", "RepoTags": ["hello-world:latest"], "RepoDigests": None},
            {"Id": "3", "RepoTags": ["ghcr.io/a/b:1"], "RepoDigests": [f"ghcr.io/a/b@{OURS}"]},
        ]
    )

    assert bool(shelf.find(reference)) is there


@pytest.mark.parametrize(
    ("entry", "lock", "wanted"),
    [
        ({}, {}, ""),
        ({"digest": OTHERS}, {}, OTHERS),
        ({"digest": OTHERS}, {"ubuntu:24.04": OURS}, OURS),
        # Nobody had that one any more; the next seed writes another lock.
        ({"digest": OTHERS, "instead_of": OURS}, {"ubuntu:24.04": OURS}, OTHERS),
        ({"digest": OTHERS, "instead_of": OURS}, {"ubuntu:24.04": "sha256:cc"}, "sha256:cc"),
    ],
)
def test_the_lock_comes_before_the_record(
    entry: dict[str, str], lock: dict[str, str], wanted: str
) -> None:
    assert pulls.wanted_digest(entry, lock, "ubuntu:24.04") == wanted
