#!/usr/bin/python
"""Open the attendee's login over SSH, and ask sshd itself whether it is open."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_account import acting_as
from ansible.module_utils.labkit_sshd_rules import read_settings, shut_out_by

DOCUMENTATION = r"""
module: labkit_attendee_login
short_description: Let the attendee log in over SSH
description:
  - Authorizes his keys, and enables or leaves alone the login with a password, for him only.
  - What else is set for sshd stays; if it shuts the attendee out, that is a failure that names it.
options:
  name: {description: The account., type: str, required: true}
  password: {description: He logs in with a password., type: bool, required: true}
  keys: {description: Lines for authorized_keys., type: list, elements: str, default: []}
author: [labkit]
"""
EXAMPLES = r"""
- name: Open the attendee's login
  labkit_attendee_login: {name: student, password: true}
"""
RETURN = r"""
keys_added: {description: Number of keys that were new., type: int, returned: success}
"""

# sshd takes the first value that it reads, and a block for one user before any general
# value; 00 comes before 50-cloud-init.conf and 60-cloudimg-settings.conf.
DROP_IN = Path("/etc/ssh/sshd_config.d/00-labkit.conf")
MAIN = Path("/etc/ssh/sshd_config")
SOMEBODY_ELSE = "labkit-somebody-else"


def drop_in(name: str) -> str:
    """Return the settings for the one user."""
    return (
        "# Made by labkit: this attendee logs in with a password, whatever is set for others.\n"
        f"Match User {name}\n"
        "    PasswordAuthentication yes\n"
        "    AuthenticationMethods any\n"
        "Match all\n"
    )


def missing_keys(home: Path, keys: list[str]) -> list[str]:
    """Return the keys that are not authorized yet."""
    path = home / ".ssh/authorized_keys"
    known = path.read_text().splitlines() if path.exists() else []
    return [key.strip() for key in keys if key.strip() not in known]


def authorize(home: Path, keys: list[str]) -> None:
    """Add the keys to those that are authorized."""
    path = home / ".ssh/authorized_keys"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    before = path.read_text() if path.exists() else ""
    if before and not before.endswith("\n"):
        before += "\n"
    path.write_text(before + "".join(f"{key}\n" for key in keys))
    path.chmod(0o600)


class Sshd:
    """The SSH server, as it would judge a login now."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        # sshd refuses to judge without it; a machine with socket activation may lack it.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)

    def settings(self, user: str) -> dict[str, list[str]]:
        """Return what holds for a user who comes from some address."""
        connection = f"user={user},host=attendee,addr=192.0.2.1"
        code, output, errors = self.module.run_command(["/usr/sbin/sshd", "-T", "-C", connection])
        if code != 0:
            self.module.fail_json(msg=f"sshd does not accept its own settings: {errors.strip()}")
        settings: dict[str, list[str]] = read_settings(output)
        return settings

    def replace(self, text: str | None) -> None:
        """Write the drop-in, or remove it, unless sshd refuses the result."""
        before = DROP_IN.read_text() if DROP_IN.exists() else None
        others = self.settings(SOMEBODY_ELSE)
        put(text)
        code, _, errors = self.module.run_command(["/usr/sbin/sshd", "-t"])
        if code != 0 or self.settings(SOMEBODY_ELSE) != others:
            put(before)
            reason = errors.strip() or "it would change the login of others"
            self.module.fail_json(msg=f"{DROP_IN} was left as it was: {reason}")
        unit = ["systemctl", "try-reload-or-restart", "ssh.service"]
        self.module.run_command(unit, check_rc=True)

    def prove(self, account: pwd.struct_passwd, *, password: bool) -> None:
        """Fail if the attendee could not log in; name what keeps him out."""
        settings = self.settings(account.pw_name)
        ids = os.getgrouplist(account.pw_name, account.pw_gid)
        rule = shut_out_by(settings, account.pw_name, [group_name(number) for number in ids])
        if rule:
            self.module.fail_json(
                msg=f"sshd does not let {account.pw_name} in, because of {rule} "
                f"{' '.join(settings[rule.lower()])} in {' and '.join(where(rule))}; "
                "correct or remove it"
            )
        if password and settings.get("passwordauthentication") != ["yes"]:
            hint = (
                f"{MAIN} does not read {DROP_IN.parent}: add, as its first line, "
                f"Include {DROP_IN.parent}/*.conf"
            )
            self.module.fail_json(msg=f"sshd takes no password from {account.pw_name}: {hint}")


def group_name(number: int) -> str:
    """Return a group's name, or its number if it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def where(rule: str) -> list[str]:
    """Return the files that set something for sshd."""
    files = [MAIN, *sorted(DROP_IN.parent.glob("*.conf"))]
    return [
        str(path)
        for path in files
        if any(
            line.strip().lower().startswith(rule.lower()) for line in path.read_text().splitlines()
        )
    ]


def put(text: str | None) -> None:
    """Write the drop-in, or remove it."""
    if text is None:
        DROP_IN.unlink(missing_ok=True)
        return
    DROP_IN.parent.mkdir(mode=0o755, exist_ok=True)
    draft = DROP_IN.with_suffix(".labkit")  # not *.conf: sshd does not read it
    draft.write_text(text)
    draft.chmod(0o644)
    draft.replace(DROP_IN)


def main() -> None:
    """Authorize, enable, prove."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "password": {"type": "bool", "required": True, "no_log": False},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
        },
        supports_check_mode=True,
    )
    name, password, keys = (module.params[word] for word in ("name", "password", "keys"))
    text = drop_in(name) if password else None
    outdated = (DROP_IN.read_text() if DROP_IN.exists() else None) != text
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        if module.check_mode:
            module.exit_json(changed=True, keys_added=len(keys))
        raise
    home = Path(account.pw_dir)
    try:
        with acting_as(account):
            missing = missing_keys(home, keys)
            if missing and not module.check_mode:
                authorize(home, missing)
    except OSError as error:
        module.fail_json(msg=f"The keys of {name} cannot be authorized: {error}")
    if not module.check_mode:
        sshd = Sshd(module)
        if outdated:
            sshd.replace(text)
        sshd.prove(account, password=password)
    module.exit_json(changed=outdated or bool(missing), keys_added=len(missing))


if __name__ == "__main__":
    main()
