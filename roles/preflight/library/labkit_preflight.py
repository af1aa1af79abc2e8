#!/usr/bin/python
"""Look at a machine, touch nothing, and name all that keeps it from becoming a workshop machine."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_depot import gone, silence
from ansible.module_utils.labkit_judgement import (
    Problem,
    judge_clock,
    judge_identity,
    judge_kernel,
    judge_processor,
    judge_routes,
    judge_size,
    judge_system,
    problem,
    sentence,
    untested,
)
from ansible.module_utils.labkit_kernel import try_features
from ansible.module_utils.labkit_machine import look, run, wait_for_cloud_init

DOCUMENTATION = r"""
module: labkit_preflight
short_description: Look at a machine and name all that keeps it from becoming a workshop machine
description:
  - Changes nothing. Kernel features are tried in throw-away namespaces; that may make the
    kernel load a module, as the engine's own attempt would.
  - Waits while cloud-init is running.
options:
  controller_time:
    description: Seconds since 1970 on the controller, taken as the task starts.
    type: float
    required: true
  clock_seconds:
    description: By how much the two clocks may differ, the task's own way here included.
    type: int
    required: true
  cloud_init_seconds: {description: How long cloud-init may still run., type: int, required: true}
  host_name: {description: The name that the machine is to have., type: str, required: true}
  engine_source: {description: Where the engine comes from., type: str, required: true}
  images: {description: References of images to come., type: list, elements: str, required: true}
  memory_mb: {description: The least memory in MiB., type: int, required: true}
  docker_disk_mb:
    description: The least free MiB under /var/lib/docker, before there is an engine.
    type: int
    required: true
  root_disk_mb:
    description: The least free MiB on /, before there is an engine.
    type: int
    required: true
  features: {description: Kernel features to have., type: list, elements: str, required: true}
  package_urls:
    description: Package archives to reach besides the machine's own apt sources.
    type: list
    elements: str
    required: true
  registry_urls: {description: Registries to reach., type: list, elements: str, required: true}
  registry_proxies:
    description: The engine's proxies, as under C(proxies) in daemon.json.
    type: dict
    required: true
  route_seconds:
    description: How long a connection may take; 0 asks for no route at all.
    type: float
    required: true
  depot:
    description: The class's depot; where it answers, no route to the internet is asked for.
    type: str
    default: ""
  depot_proxy: {description: Where it is a proxy for apt., type: str, default: ""}
author: [labkit]
"""
EXAMPLES = r"""
- name: See Role preflight
  labkit_preflight:
"""
RETURN = r"""
machine:
  description:
    - What the machine is; see module_utils/labkit_machine.py.
    - C(named_depot) is the depot that was given, as C({url, proxy}); C(depot) and C(depot_proxy)
      are the same if it answered, else empty.
  type: dict
  returned: always
notes:
  description: What the instructor should know although nothing is wrong.
  type: list
  elements: str
  returned: success
problems:
  description: What is wrong, each as what and todo.
  type: list
  elements: dict
  returned: always
"""


def find_depot(machine: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Have the machine know of a depot that answers; return a note of one that does not."""
    url = wanted["depot"]
    reason = silence(url) if url else ""
    there = bool(url) and not reason
    machine["named_depot"] = {"url": url, "proxy": wanted["depot_proxy"]}
    machine["depot"] = url if there else ""
    machine["depot_proxy"] = wanted["depot_proxy"] if there else ""
    return [gone(url, reason)] if reason else []


def inspect(wanted: dict[str, Any]) -> tuple[dict[str, Any], list[Problem], list[str]]:
    """Return the machine, all that is wrong with it, and what has to be known all the same."""
    ahead = time.time() - wanted["controller_time"]
    settled = wait_for_cloud_init(wanted["cloud_init_seconds"])
    machine = look()
    notes = find_depot(machine, wanted)
    answers = try_features()
    machine["features"] = {name: not answer for name, answer in answers.items()}
    problems = [
        *judge_system(machine, wanted["engine_source"]),
        *judge_identity(machine, wanted["host_name"]),
        *judge_size(machine, wanted),
        *judge_clock(ahead, wanted["clock_seconds"]),
        *judge_kernel(answers, wanted["features"]),
        *judge_processor(machine, wanted["images"]),
        *judge_routes(wanted, directly=not machine["depot"]),
    ]
    if not settled:
        problems.append(
            problem(
                f"cloud-init still runs after {wanted['cloud_init_seconds']} s",
                "look at `cloud-init status --long` on it; run again when it is done",
            )
        )
    return machine, problems, notes


def main() -> None:
    """Answer Ansible."""
    texts = {"type": "list", "elements": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "controller_time": {"type": "float", "required": True},
            "clock_seconds": {"type": "int", "required": True},
            "cloud_init_seconds": {"type": "int", "required": True},
            "host_name": {"type": "str", "required": True},
            "engine_source": {"type": "str", "required": True},
            "images": texts,
            "memory_mb": {"type": "int", "required": True},
            "docker_disk_mb": {"type": "int", "required": True},
            "root_disk_mb": {"type": "int", "required": True},
            "features": texts,
            "package_urls": texts,
            "registry_urls": texts,
            "registry_proxies": {"type": "dict", "required": True},
            "route_seconds": {"type": "float", "required": True},
            "depot": {"type": "str", "default": ""},
            "depot_proxy": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if os.geteuid() != 0:
        todo = "set ansible_become: true, and let this account use sudo"
        module.fail_json(
            msg=f"Ansible is not root on it: {todo}",
            problems=[problem("Ansible is not root on it", todo)],
            machine={},
        )
    machine, problems, notes = inspect(module.params)
    if half := run("dpkg", "--audit")[1]:
        module.warn(f"some packages are only half installed (dpkg --audit): {half.splitlines()[0]}")
    if problems:
        module.fail_json(msg=sentence(problems), problems=problems, machine=machine, notes=notes)
    notes += untested(machine, module.params["engine_source"])
    module.exit_json(changed=False, machine=machine, problems=[], notes=notes)


if __name__ == "__main__":
    main()
