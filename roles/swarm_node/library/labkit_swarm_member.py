#!/usr/bin/python
"""Give a machine its place in its seat's swarm, or take it out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_engine_socket import ENGINE_SOCKET
from ansible.module_utils.labkit_membership import (
    Swarm,
    chosen,
    is_member,
    join,
    join_token,
    leave,
    make,
    stranger,
    swarm,
)

DOCUMENTATION = r"""
module: labkit_swarm_member
short_description: Give a machine its place in its seat's swarm, or take it out
description:
  - Speaks with the engine over its socket, so that no token stands in a command line.
  - Where it is delegated to a machine that cannot be reached, an action plugin of the same name
    says so in C(reason) instead of failing.
options:
  state:
    description:
      - C(made) makes a swarm, C(joined) joins the one of C(manager), C(left) leaves.
      - C(told) only tells address and token of a manager, and never fails.
    type: str
    choices: [made, joined, left, told]
    required: true
  manager: {description: The manager's address., type: str, default: ""}
  token: {description: What a worker has to show; "" to wait for it., type: str, default: ""}
  only_if:
    description: Do nothing unless the role left the machine with this state.
    type: str
    default: ""
author: [labkit]
"""
EXAMPLES = r"""
- name: Make the seat's swarm
  labkit_swarm_member: {state: made}
"""
RETURN = r"""
node: {description: The id of its node., type: str, returned: when it is in a swarm}
address: {description: The manager's address., type: str, returned: when told}
token: {description: What a worker has to show., type: str, returned: when told}
reason: {description: Why nothing was done., type: str, returned: when nothing was done}
"""


def tell() -> dict[str, Any]:
    """Return how to join the swarm that is managed here, or why nobody can."""
    try:
        if not swarm().get("ControlAvailable"):
            return {"reason": "it manages no swarm"}
        return {"address": chosen().get("address", ""), "token": join_token()}
    except OSError as error:
        return {"reason": str(error)}


def settle(params: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """
    Bring the machine to the state, and return whether that changed it, and its node.

    Raises:
        OSError: The engine refuses.
        ValueError: It is in somebody else's swarm.
    """
    if dry and not Path(ENGINE_SOCKET).exists():
        return {"changed": params["state"] != "left"}
    if params["only_if"] and chosen().get("state") != params["only_if"]:
        return {"changed": False, "reason": "its own roles have not come so far"}
    known = swarm()
    if params["state"] != "left":
        return enter(known, params, dry=dry)
    if is_member(known) and not dry:
        leave(known)
    return {"changed": is_member(known)}


def enter(known: Swarm, params: dict[str, Any], *, dry: bool) -> dict[str, Any]:
    """
    Make or join a swarm, unless the machine is in it.

    Raises:
        OSError, ValueError: See settle.
    """
    makes = params["state"] == "made"
    if makes and is_member(known) and not known.get("ControlAvailable"):
        raise ValueError(
            "it is a worker in a swarm, and should manage its seat's: docker swarm leave on it,"
            " or set swarm_node_state: ready"
        )
    if why := stranger(known, params["manager"]):
        raise ValueError(why)
    if is_member(known):
        return {"changed": False, "node": known["NodeID"]}
    if not makes and not params["token"]:
        return {"changed": False, "reason": "the seat's first machine will take it in"}
    if dry:
        return {"changed": True}
    make(chosen()) if makes else join(chosen(), params["manager"], params["token"])
    return {"changed": True, "node": swarm()["NodeID"]}


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "state": {"choices": ["made", "joined", "left", "told"], "required": True},
            "manager": {"type": "str", "default": ""},
            "token": {"type": "str", "default": "", "no_log": True},
            "only_if": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if module.params["state"] == "told":
        module.exit_json(changed=False, **tell())
    try:
        result = settle(module.params, dry=module.check_mode)
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"the seat's swarm: {error}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
