"""Have the host keys that a machine made anew known beside the inventory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

SSH_PORT = 22


def known_name(host: str, port: int) -> str:
    """Return a host's name as ssh writes it."""
    return host.lower() if port == SSH_PORT else f"[{host.lower()}]:{port}"


def learn(text: str, name: str, keys: list[str]) -> str:
    """Return the text of known_hosts with these keys as the only ones of a host."""
    kept = [line for line in text.splitlines() if line.split(" ")[0] != name]
    return "".join(f"{line}\n" for line in [*kept, *(f"{name} {key}" for key in keys)])


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Runs the module, over a connection that the old key has vouched for."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the module's answer, when the new keys are known."""
        super().run(tmp, task_vars)
        known = Path(self._task.args.pop("known_hosts"))
        result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        # Where labkit keeps no keys, ssh itself will ask the instructor.
        if result.get("host_keys") and known.exists():
            connection = self._connection
            host = connection.get_option("host") or (task_vars or {})["inventory_hostname"]
            name = known_name(str(host), int(connection.get_option("port") or SSH_PORT))
            descriptor = os.open(known.parent, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                text = learn(known.read_text("utf-8", "replace"), name, result["host_keys"])
                draft = known.with_name(f".{known.name}.new")
                draft.write_text(text, encoding="utf-8")
                draft.replace(known)
            finally:
                os.close(descriptor)
        return result
