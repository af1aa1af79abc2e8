"""Let a machine that cannot be reached be no failure of the one that asks for it."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible has no types
    """Runs the module; on a seat mate, too."""

    def run(
        self, tmp: str | None = None, task_vars: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the module's answer, or why there is none from a mate."""
        super().run(tmp, task_vars)
        try:
            result: dict[str, Any] = self._execute_module(task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            if not self._task.delegate_to:
                raise
            return {"changed": False, "reason": str(error)}
        # What a mate is in for, its own run says.
        if self._task.delegate_to and result.pop("failed", False):
            return {"changed": False, "reason": result.get("msg", "")}
        return result
