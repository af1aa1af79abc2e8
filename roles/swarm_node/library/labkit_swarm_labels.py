#!/usr/bin/python
"""Give the nodes of a swarm their labels, on its manager."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_membership import label

DOCUMENTATION = r"""
module: labkit_swarm_labels
short_description: Give the nodes of a swarm their labels
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
  labkit_swarm_labels:
    nodes: [{node: abc, labels: {type: storage}}]
"""
RETURN = r"""
labelled: {description: Ids of the nodes that got one., type: list, returned: success}
"""


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={"nodes": {"type": "list", "elements": "dict", "required": True}},
        supports_check_mode=True,
    )
    labelled = []
    try:
        for one in module.params["nodes"]:
            labels = {name: str(value) for name, value in one["labels"].items()}
            if label(one["node"], labels, dry=module.check_mode):
                labelled.append(one["node"])
    except OSError as error:
        module.fail_json(msg=f"the seat's swarm: its nodes cannot be labelled: {error}")
    module.exit_json(changed=bool(labelled), labelled=labelled)


if __name__ == "__main__":
    main()
