"""The certificate authority of a class's registries, as far as checks have to know it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_authority(inputs: Mapping[str, Any]) -> str | None:
    """
    Return the certificate by which the class's registries are trusted, None where there is none.

    The role swarm_node makes it (roles/swarm_node/action_plugins), so that plain Ansible can.
    """
    try:
        folder = Path(str(inputs.get("swarm_node_authority_directory")))
        return (folder / "registry-ca.crt").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
