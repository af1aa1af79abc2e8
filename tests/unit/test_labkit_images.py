"""Which images are pulled, and what is told when they are not."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible.module_utils import labkit_engine_pulls as pulls

ROLE = Path(__file__).parents[2] / "roles/images"
images = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_images.py")))

UBUNTU = {"Id": "sha256:1", "RepoDigests": ["ubuntu@sha256:aa", "other/ubuntu@sha256:bb"]}


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("hello-world", ("hello-world", "latest")),
        ("ubuntu:24.04", ("ubuntu", "24.04")),
        ("registry.example:5000/app", ("registry.example:5000/app", "latest")),
        ("registry.example:5000/app:1", ("registry.example:5000/app", "1")),
        ("ubuntu@sha256:aa", ("ubuntu", "sha256:aa")),
        ("ubuntu:24.04@sha256:aa", ("ubuntu", "sha256:aa")),
    ],
)
def test_a_reference_has_a_repository_and_a_tag_or_digest(
    reference: str, parts: tuple[str, str]
) -> None:
    assert pulls.split(reference) == parts


@pytest.mark.parametrize(
    ("image", "recorded", "there"),
    [
        (UBUNTU, "sha256:aa", True),
        (UBUNTU, "", True),  # it came from the registry: it will do
        (UBUNTU, "sha256:cc", False),  # somebody pulled another one
        ({"Id": "sha256:1", "RepoDigests": []}, "", False),  # somebody built one of that name
        (None, "sha256:aa", False),
    ],
)
def test_an_image_is_there_if_it_is_the_recorded_one(
    image: object, recorded: str, *, there: bool
) -> None:
    assert pulls.is_there(image, "docker.io/library/ubuntu", recorded) is there


def test_the_registrys_own_answer_is_told() -> None:
    lines = [
        b'{"status":"Pulling from library/ubuntu","id":"24.04"}\n',
        b'{"errorDetail":{},"error":"toomanyrequests: slow down"}',
    ]

    with pytest.raises(pulls.PullError, match="toomanyrequests: slow down"):
        pulls.read_progress(lines)


@pytest.mark.parametrize("gone", [True, False])
def test_a_pull_from_a_mirror_that_died_is_given_up_at_its_first_retry(*, gone: bool) -> None:
    asked: list[str] = []
    told = ["Pulling fs layer", "Downloading", "Retrying in 5 seconds", "Retrying in 4 seconds"]

    def lines() -> Iterator[bytes]:
        for status in told:
            asked.append(status)
            yield json.dumps({"status": status, "id": "0c2a0f"}).encode()

    def look() -> bool:
        assert asked[-1].startswith("Retrying")
        return gone

    if gone:
        with pytest.raises(pulls.PullError, match="the depot is gone"):
            pulls.read_progress(lines(), look)
    else:
        pulls.read_progress(lines(), look)

    assert asked == told[: 3 if gone else 4]


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        ("manifest for ubuntu:99 not found: manifest unknown", True),
        ("pull access denied for nix", True),
        ("no space left on device", True),
        ("unexpected EOF", True),
        ("toomanyrequests: slow down", False),
        ("received unexpected HTTP status: 500 Internal Server Error", False),
        ("net/http: TLS handshake timeout", False),
    ],
)
def test_only_what_may_pass_is_tried_again(answer: str, *, final: bool) -> None:
    assert bool(pulls.FINAL.search(answer)) is final


def test_a_mirrors_answer_is_found_in_the_journal() -> None:
    told = 'level=info msg="Attempting next endpoint for pull after error: '
    journal = f'{told}Get \\"http://m/v2/\\": EOF" spanID=1\n{told}toomanyrequests" spanID=2\n'

    assert images.earlier_answers(journal) == ['Get "http://m/v2/": EOF', "toomanyrequests"]
