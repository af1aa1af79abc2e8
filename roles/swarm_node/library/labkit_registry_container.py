#!/usr/bin/python
"""Run the seat's registry, as the attendee would start it in the lesson."""

from __future__ import annotations

import socket
import ssl
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_machine import run

DOCUMENTATION = r"""
module: labkit_registry_container
short_description: Run the seat's registry, as the attendee would start it in the lesson
description:
  - Starts a container C(registry), with a volume of that name, from certificate and key in the
    attendee's folder C(registry). One that is there is not made again, whoever made it.
options:
  image: {description: The registry's image., type: str, required: true}
  owner: {description: The attendee's account., type: str, required: true}
  renewed: {description: Restart it for a new certificate., type: bool, required: true}
  names: {description: Its names and addresses., type: list, elements: str, required: true}
author: [labkit]
"""
EXAMPLES = r"""
- name: Run the seat's registry
  labkit_registry_container:
    {image: "registry:3.1.2", owner: student, renewed: false, names: [vm1, 192.0.2.11]}
"""
RETURN = r"""
"""

NAME = "registry"
PORT = 443
SECONDS = 30
MINUTES_TO_PULL = 600


def command(image: str, folder: str) -> list[str]:
    """Return the lesson's own command."""
    return [
        *("docker", "run", "-d", "--name", NAME, "--restart", "unless-stopped"),
        *("-p", f"{PORT}:{PORT}", "-v", f"{folder}:/certs:ro", "-v", f"{NAME}:/var/lib/registry"),
        *("-e", f"REGISTRY_HTTP_ADDR=0.0.0.0:{PORT}"),
        *("-e", "REGISTRY_HTTP_TLS_CERTIFICATE=/certs/registry.crt"),
        *("-e", "REGISTRY_HTTP_TLS_KEY=/certs/registry.key"),
        image,
    ]


def greet(name: str, authority: str) -> None:
    """
    Shake hands with the registry under a name.

    Raises:
        OSError: It does not answer, or its certificate is not good.
    """
    trust = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection((name, PORT), timeout=5) as line,
        trust.wrap_socket(line, server_hostname=name),
    ):
        pass


def wait(names: list[str], authority: str) -> str:
    """Return what is wrong with the registry, once it had time to start."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            for name in names:
                greet(name, authority)
        except OSError as error:
            if time.monotonic() > end:
                return f"under the name {name}: {error}"
            time.sleep(0.5)
        else:
            return ""


def needed(params: dict[str, Any], folder: str) -> list[str]:
    """Return the command that brings the registry about, nothing where it runs."""
    code, state = run("docker", "inspect", "--type=container", "-f", "{{.State.Running}}", NAME)
    if code:
        return command(params["image"], folder)
    if state != "true":
        return ["docker", "start", NAME]
    return ["docker", "restart", NAME] if params["renewed"] else []


def main() -> None:
    """Answer Ansible."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "owner": {"type": "str", "required": True},
            "renewed": {"type": "bool", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    _, entry = run("getent", "passwd", module.params["owner"])
    if module.check_mode and not entry:
        module.exit_json(changed=True)
    folder = f"{entry.split(':')[5]}/registry"
    words = needed(module.params, folder)
    if words and not module.check_mode:
        code, said = run(*words, seconds=MINUTES_TO_PULL)
        if code:
            module.fail_json(msg=f"the seat's registry does not start: {said}")
    wrong = "" if module.check_mode else wait(module.params["names"], f"{folder}/ca.crt")
    if wrong and not words:
        # A run that was cut off may have left it with a certificate that is no more.
        words = ["docker", "restart", NAME]
        run(*words, seconds=MINUTES_TO_PULL)
        wrong = wait(module.params["names"], f"{folder}/ca.crt")
    if wrong:
        log = run("docker", "logs", "--tail", "5", NAME)[1]
        module.fail_json(msg=f"the seat's registry does not answer {wrong}\n{log}".strip())
    module.exit_json(changed=bool(words))


if __name__ == "__main__":
    main()
