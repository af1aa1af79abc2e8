"""The seat's registry is brought about by what there is of it already."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROLE = Path(__file__).parents[2] / "roles/swarm_node"
there = SimpleNamespace(**runpy.run_path(str(ROLE / "library/labkit_registry_container.py")))


class Ended(Exception):
    """What the module answered."""


def answer(monkeypatch: pytest.MonkeyPatch, wrong: list[str], state: str = "true") -> Any:
    """Return what the module says and what it ran, where the registry answers as in `wrong`."""
    ran: list[str] = []

    def run(*words: str, **_: int) -> tuple[int, str]:
        if words[:2] == ("docker", "inspect"):
            return 0, state
        if words[0] == "docker":
            ran.append(words[1])
        return 0, "student:x:1000:1000::/home/student:/bin/bash"

    def end(**told: Any) -> None:
        raise Ended(json.dumps(told))

    params = {"image": "registry:3.1.2", "owner": "student", "renewed": False, "names": ["vm1"]}
    module = SimpleNamespace(params=params, check_mode=False, exit_json=end, fail_json=end)
    seen = there.main.__globals__
    monkeypatch.setitem(seen, "AnsibleModule", lambda **_: module)
    monkeypatch.setitem(seen, "run", run)
    monkeypatch.setitem(seen, "wait", lambda *_: wrong.pop(0))
    with pytest.raises(Ended) as ended:
        there.main()
    return json.loads(str(ended.value)), ran


def test_one_that_answers_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(monkeypatch, [""]) == ({"changed": False}, [])


def test_one_with_a_certificate_that_is_no_more_is_restarted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert answer(monkeypatch, ["expired", ""]) == ({"changed": True}, ["restart"])


def test_one_that_was_just_started_and_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said, ran = answer(monkeypatch, ["refused"], state="false")

    assert "does not answer refused" in said["msg"]
    assert ran == ["start", "logs"]
