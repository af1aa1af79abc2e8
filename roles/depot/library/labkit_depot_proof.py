#!/usr/bin/python
"""Prove that each of the depot's services answers, and tell what is behind them."""

from __future__ import annotations

import json
import subprocess
import time
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTATION = r"""
module: labkit_depot_proof
short_description: Prove that each of the depot's services answers
description:
  - Fails where one of its own services does not answer within `seconds`.
  - That Docker Hub or npm does not answer behind it is a note; what is kept is answered anyway.
options:
  port: {description: Where it serves images and modules., type: int, required: true}
  proxy_port: {description: Where it is a proxy for apt., type: int, required: true}
  store_port: {description: Where the store listens., type: int, required: true}
  through_port: {description: Where the pull-through listens., type: int, required: true}
  hub_port: {description: Where it asks its upstream., type: int, required: true}
  hub: {description: What the pull-through asks., type: str, required: true}
  seconds: {description: How long a service may take to start., type: int, default: 15}
author: [labkit]
"""
EXAMPLES = r"""
- name: Prove that the depot answers
  labkit_depot_proof:
    port: 5080
    proxy_port: 3142
    store_port: 5081
    through_port: 5082
    hub_port: 5083
    hub: https://registry
"""
RETURN = r"""
notes: {description: What is behind the depot and does not answer., type: list, returned: success}
"""

# A module that the todo app needs.
MODULE = "/npm/express"
UPSTREAM_SECONDS = 5


def ask(port: int, path: str, seconds: float = 3) -> tuple[int, bytes]:
    """Return status and body of an answer, status 0 where there is none."""
    connection = HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def is_depot(body: bytes) -> bool:
    """Tell whether it is a depot of labkit's that answered."""
    try:
        return bool(json.loads(body)["labkit"] == "depot")
    except (ValueError, KeyError, TypeError):
        return False


def silent(proofs: dict[str, tuple[str, Callable[[], bool]]], seconds: float) -> list[str]:
    """Return what does not come true in time."""
    deadline = time.monotonic() + seconds
    left = list(proofs)
    while True:
        left = [one for one in left if not proofs[one][1]()]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.3)


def last_words(unit: str) -> str:
    """Return what the unit said last."""
    words = ["journalctl", "--unit", unit, "--lines", "4", "--no-pager", "--output", "cat"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


def proofs_of(
    port: int, proxy: int, store: int, through: int
) -> dict[str, tuple[str, Callable[[], bool]]]:
    """Return what has to be true → the unit that makes it so, and how it is asked."""
    nginx = "labkit-depot-nginx.service"
    return {
        f"port {store} of its loopback serves the images that were seeded": (
            "labkit-depot-store.service",
            lambda: ask(store, "/v2/")[0] == 200,  # noqa: PLR2004
        ),
        f"port {through} of its loopback passes on images that were not seeded": (
            "labkit-depot-through.service",
            lambda: ask(through, "/v2/")[0] == 200,  # noqa: PLR2004
        ),
        f"port {port} serves images": (
            nginx,
            lambda: is_depot(ask(port, "/labkit")[1]) and ask(port, "/v2/")[0] == 200,  # noqa: PLR2004
        ),
        # It takes whole URLs, and lets nobody in to what listens on the loopback.
        f"port {proxy} is a proxy for apt": (
            nginx,
            lambda: ask(proxy, f"http://127.0.0.1:{store}/v2/")[0] == 403,  # noqa: PLR2004
        ),
    }


def main() -> None:
    """Answer Ansible."""
    numbers = ("port", "proxy_port", "store_port", "through_port", "hub_port")
    module = AnsibleModule(
        argument_spec={
            **{name: {"type": "int", "required": True} for name in numbers},
            "hub": {"type": "str", "required": True},
            "seconds": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    port, proxy, store, through, hub = (module.params[name] for name in numbers)
    proofs = proofs_of(port, proxy, store, through)
    if wrong := silent(proofs, module.params["seconds"]):
        problems = [
            {"what": f"not true: {one}. {last_words(proofs[one][0])}".strip(), "todo": todo}
            for one in wrong
            for todo in (f"journalctl -u {proofs[one][0]} on the depot says why",)
        ]
        module.fail_json(msg="; ".join(wrong), problems=problems)
    behind = {
        f"{module.params['hub']} does not answer the depot: what was seeded is all it has": (
            "",
            # Where an account is needed, it is asked for that.
            lambda: ask(hub, "/v2/")[0] in {200, 401},
        ),
        "the npm registry does not answer the depot: what it kept is all it has": (
            "",
            lambda: ask(port, MODULE, UPSTREAM_SECONDS)[0] == 200,  # noqa: PLR2004
        ),
    }
    module.exit_json(changed=False, notes=silent(behind, UPSTREAM_SECONDS))


if __name__ == "__main__":
    main()
