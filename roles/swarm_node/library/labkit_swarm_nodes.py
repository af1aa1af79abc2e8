#!/usr/bin/python
"""Keep the list of a swarm's nodes in order, on its manager: their labels, and who is gone."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_membership import forget_ghosts, label

DOCUMENTATION = r"""
module: labkit_swarm_nodes
short_description: Give the nodes of a swarm their labels, and forget what they were before
description:
  - A machine that left and joined again is another node; the former one is taken out.
options:
  nodes:
    description: Each as C({node, labels}); labels that a node has besides are kept.
    type: list
    elements: dict
    required: true
author: [labkit]
"""
EXAMPLES = r"""
- name: Label the storage node
  labkit_swarm_nodes:
    nodes: [{node: abc, labels: {type: storage}}]
"""
RETURN = r"""
altered: {description: Ids of the nodes that it was about., type: list, returned: success}
"""


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={"nodes": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    altered = []
    try:
        for one in module.params["nodes"]:
            labels = {name: str(value) for name, value in one["labels"].items()}
            labelled = label(one["node"], labels, dry=module.check_mode)
            if forget_ghosts(one["node"], dry=module.check_mode) or labelled:
                altered.append(one["node"])
    except OSError as error:
        module.fail_json(msg=f"the seat's swarm: its nodes cannot be put in order: {error}")
    module.exit_json(changed=bool(altered), altered=altered)


if __name__ == "__main__":
    main()
