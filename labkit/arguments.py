"""What `ansible-playbook` is told beside the playbook, for every verb that runs one."""

from collections.abc import Sequence
from pathlib import Path

from labkit.classroom import Request
from labkit.scratch import secret_file


def playbook_arguments(
    request: Request, vaults: Sequence[str], scratch: Path, handed: Path
) -> list[str]:
    """Return what gets Ansible in; secrets stand in files that only this user reads."""
    arguments = ["-e", f"@{handed}"]
    for file in vaults:
        arguments += ["--vault-password-file", file]
    for option, secret in (
        ("connection", request.connection_password),
        ("become", request.become_password),
    ):
        if secret is not None:
            kept = secret_file(scratch, f"{option}-password", secret)
            arguments += [f"--{option}-password-file", str(kept)]
    return arguments


def dry_arguments(*, check: bool, diff: bool) -> list[str]:
    """Return how Ansible is told to change nothing, and to show how files change."""
    return [*(["--check"] if check else []), *(["--diff"] if diff else [])]
