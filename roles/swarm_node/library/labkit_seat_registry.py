#!/usr/bin/python
"""Let the engine trust the seat's registry, and let the attendee start it."""

from __future__ import annotations

import os
import pwd
import ssl
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_routes import resolve

DOCUMENTATION = r"""
module: labkit_seat_registry
short_description: Let the engine trust the seat's registry, and let the attendee start it
description:
  - Writes the class's certificate authority into /etc/docker/certs.d, for each name and address of
    the registry, and into the attendee's folder C(registry); on the machine that serves it,
    certificate and key, too.
  - An action plugin of the same name hands in authority, certificate and key.
options:
  names: {description: Names of the registry., type: list, elements: str, required: true}
  address: {description: Its address., type: str, required: true}
  owner: {description: The attendee's account., type: str, required: true}
  serves: {description: Whether the registry is to run here., type: bool, required: true}
  directory: {description: Where the authority is kept on the controller., type: path}
  authority: {description: Its certificate., type: str}
  certificate: {description: Empty to keep what is there., type: str, default: ""}
  key: {description: The certificate's key., type: str, default: ""}
author: [labkit]
"""
EXAMPLES = r"""
- name: Let the engine trust the seat's registry
  labkit_seat_registry:
    names: [vm1, seat01-vm1]
    address: 192.0.2.11
    owner: student
    serves: "{{ inventory_hostname == 'seat01-vm1' }}"
    directory: "{{ inventory_dir }}"
"""
RETURN = r"""
certificate: {description: The certificate that is there., type: str, returned: success}
hosts: {description: All names and addresses., type: list, returned: success}
files: {description: The files that changed., type: list, returned: success}
renewed: {description: Certificate or authority are new., type: bool, returned: success}
"""

PORT = 443
TRUSTED = Path("/etc/docker/certs.d")
PRIVATE = 0o700


class File(NamedTuple):
    """A file as it is to be."""

    path: Path
    text: str
    mode: int
    owner: int
    group: int

    def is_so(self) -> bool:
        """Tell whether it is; a link to such a file is not."""
        try:
            state = self.path.lstat()
            return (
                stat.S_ISREG(state.st_mode)
                and stat.S_IMODE(state.st_mode) == self.mode
                and state.st_uid == self.owner
                and self.path.read_text(encoding="utf-8") == self.text
            )
        except OSError:
            return False

    def write(self) -> None:
        """Put it there whole, in the place of whatever has its name."""
        with tempfile.NamedTemporaryFile(
            "w", dir=self.path.parent, delete=False, encoding="utf-8"
        ) as new:
            new.write(self.text)
            os.fchown(new.fileno(), self.owner, self.group)
            os.fchmod(new.fileno(), self.mode)
        Path(new.name).replace(self.path)


def is_pair(certificate: Path, key: Path) -> bool:
    """Tell whether the two files belong together."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError):
        return False
    return True


def ensure_folder(folder: Path, owner: int, group: int) -> bool:
    """Make the attendee's folder, which nobody else may look into; tell whether it changed."""
    if folder.is_dir() and not folder.is_symlink():
        state = folder.stat()
        if (stat.S_IMODE(state.st_mode), state.st_uid) == (PRIVATE, owner):
            return False
    folder.mkdir(mode=PRIVATE, exist_ok=True)
    folder.chmod(PRIVATE)
    os.chown(folder, owner, group, follow_symlinks=False)
    return True


def wanted_files(
    params: dict[str, str], hosts: list[str], folder: Path, account: pwd.struct_passwd
) -> list[File]:
    """Return every file that is to be there, as far as its text was handed in."""
    names = [f"[{host}]" if ":" in host else host for host in hosts]
    files = [
        File(TRUSTED / f"{name}:{PORT}" / "ca.crt", params["authority"], 0o644, 0, 0)
        for name in names
    ]
    own = account.pw_uid, account.pw_gid
    files.append(File(folder / "ca.crt", params["authority"], 0o644, *own))
    if params["certificate"]:
        files.append(File(folder / "registry.crt", params["certificate"], 0o644, *own))
        files.append(File(folder / "registry.key", params["key"], 0o600, *own))
    return files


def present(folder: Path) -> str:
    """Return the certificate that is there with its key, "" without."""
    certificate, key = folder / "registry.crt", folder / "registry.key"
    if not is_pair(certificate, key) or stat.S_IMODE(key.stat().st_mode) & 0o077:
        return ""
    return certificate.read_text(encoding="utf-8")


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "address": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "serves": {"type": "bool", "required": True},
            "directory": {"type": "path"},
            "authority": {"type": "str"},
            "certificate": {"type": "str", "default": ""},
            "key": {"type": "str", "default": "", "no_log": True},
        },
        supports_check_mode=True,
    )
    # The engine reads the folders of /etc/docker/certs.d as root; attendees look into them too.
    os.umask(0o022)
    try:
        account = pwd.getpwnam(module.params["owner"])
    except KeyError:
        if module.check_mode:
            module.exit_json(changed=True, files=[], renewed=False, certificate="", hosts=[])
        module.fail_json(msg=f"there is no account {module.params['owner']}; run the role attendee")
    folder = Path(account.pw_dir) / "registry"
    try:
        names = module.params["names"]
        hosts = [
            *names,
            *sorted({module.params["address"], resolve(module.params["address"])} - {*names}),
        ]
        files = wanted_files(module.params, hosts, folder, account)
        wrong = [file for file in files if not file.is_so()]
        changed = bool(wrong)
        if not module.check_mode:
            changed |= ensure_folder(folder, account.pw_uid, account.pw_gid)
            for file in wrong:
                file.path.parent.mkdir(parents=True, exist_ok=True)
                file.write()
        there = present(folder) if module.params["serves"] else ""
    except OSError as error:
        module.fail_json(msg=f"the seat's registry cannot be prepared: {error}")
    renewed = any(file.path.parent == folder and file.path.name != "ca.crt" for file in wrong)
    module.exit_json(
        changed=changed,
        files=[str(file.path) for file in wrong],
        renewed=renewed,
        certificate=there,
        hosts=hosts,
    )


if __name__ == "__main__":
    main()
