#!/usr/bin/python
"""Merge settings into the engine's daemon.json, and never break it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_mirrors import MIRRORS, Depots, arrange, replace

DOCUMENTATION = r"""
module: labkit_daemon_json
short_description: Merge settings into daemon.json
description:
  - Settings of others that the file holds are kept, also inside of nested settings;
    a setting of ours, a list included, replaces theirs.
  - The engine itself validates the result before it replaces the file.
  - Where nothing but C(registry-mirrors) changes, a running engine takes that up at once, without
    a restart; the file keeps its date, by which labkit_engine_service knows that one is needed.
options:
  settings: {description: What is merged into the file., type: dict, required: true}
  defaults: {description: Merged too; settings have the last word., type: dict, default: {}}
  depot:
    description:
      - The class's depot, the first of the mirrors, or empty for none. Left out, nothing is said
        of mirrors.
    type: str
  path: {description: The file., type: path, default: /etc/docker/daemon.json}
author: [labkit]
"""
EXAMPLES = r"""
- name: Settle how the engine works
  labkit_daemon_json:
    settings: {registry-mirrors: ["http://192.0.2.2:5000"]}
    defaults: {log-driver: json-file}
"""
RETURN = r"""
changed_settings: {description: Names of what is new., type: list, returned: success}
"""


def merge(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return both, ours where they disagree.

    The options of another log driver are dropped: the engine would refuse them.
    """
    result = dict(theirs)
    if ours.get("log-driver", theirs.get("log-driver")) != theirs.get("log-driver"):
        result.pop("log-opts", None)
    for name, value in ours.items():
        known = result.get(name)
        both = isinstance(known, Mapping) and isinstance(value, Mapping)
        result[name] = merge(known, value) if both else value  # type: ignore[arg-type]
    return result


def read(path: Path) -> dict[str, Any]:
    """
    Return what the file holds; a missing or empty file holds nothing.

    Raises:
        ValueError: It is not a JSON object.
    """
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    settings = json.loads(text or "{}")
    if not isinstance(settings, dict):
        raise ValueError("it is JSON, but not an object in braces")  # noqa: TRY004
    return settings


def validate(module: AnsibleModule, draft: str) -> None:
    """Let the engine judge the draft, once there is an engine."""
    engine = module.get_bin_path("dockerd")
    if not engine:
        return
    code, output, errors = module.run_command([engine, "--validate", "--config-file", draft])
    if code != 0:
        # The engine names the draft, which nobody knows.
        answer = (errors.strip() or output.strip()).replace(draft, module.params["path"])
        module.fail_json(
            msg=f"The engine refuses these settings: {answer}. "
            f"{module.params['path']} was left as it was; see docker_engine_daemon"
        )


def main() -> None:
    """Merge, validate, replace."""
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "required": True},
            "defaults": {"type": "dict", "default": {}},
            "depot": {"type": "str"},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    try:
        before = read(path)
    except ValueError as error:
        module.fail_json(
            msg=f"{path} is not valid JSON ({error}); it was left as it is. Correct it or remove it"
        )
    ours = merge(module.params["defaults"], module.params["settings"])
    after = merge(before, ours)
    depots, depot = Depots(), module.params["depot"]
    earlier = depots.known() if depot is not None else []
    if depot is not None:
        after = arrange(after, depot, earlier, asked=MIRRORS in ours)
    if after != before:
        with tempfile.NamedTemporaryFile("w", suffix=".json") as draft:
            draft.write(json.dumps(after, indent=2, sort_keys=True) + "\n")
            draft.flush()
            validate(module, draft.name)
        if not module.check_mode:
            # Known before it is in the file, and until it is out of it: no run that is cut short
            # leaves a mirror of ours that looks like the instructor's.
            depots.remember([*earlier, *([depot] if depot else [])])
            replace(path, before, after)
    if depot is not None and not module.check_mode:
        depots.remember([depot] if depot else [])
    # Only the names: a setting may hold a proxy's password.
    names = sorted(name for name in after if after[name] != before.get(name))
    module.exit_json(changed=after != before, changed_settings=names)


if __name__ == "__main__":
    main()
