#!/usr/bin/python
"""Prove that the class's database keeps running on this processor and kernel."""

from __future__ import annotations

import calendar
import json
import platform
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_database_proof
short_description: Prove that the class's MongoDB keeps running here
description:
  - MongoDB 5 and later die at once on a processor without AVX, MongoDB 8 after half a minute on
    some kernels; so it has to run for a while, and still answer then.
  - Once for each image digest and kernel; what was proven is recorded on the machine.
  - The first of two calls starts the container, so that other work goes on meanwhile; the one with
    I(finish) waits for the rest of the time, asks the database, and removes the container.
options:
  image: {description: Its reference; empty proves nothing., type: str, required: true}
  seconds: {description: How long it has to run., type: int, required: true}
  finish: {description: Whether to wait for the end of the proof., type: bool, default: false}
  record: {description: Where it is recorded what was proven., type: path}
author: [labkit]
"""
EXAMPLES = r"""
- name: Prove that the database keeps running
  labkit_database_proof: {image: "mongo:7.0", seconds: 40, finish: true}
"""
RETURN = r"""
proven: {description: Image digest and kernel., type: dict, returned: success}
"""

RECORD = "/var/lib/labkit/database.json"
NAME = "labkit-database-proof"
LABEL = "labkit.check=images"
PORT = 27017
TAKEN = "is already in use by container"
ANSWER_SECONDS = 10
LAST_LINES = 5
LOOK = (
    "{{.State.Running}} {{.State.ExitCode}} {{.State.StartedAt}} {{.Image}} "
    "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
)
# 128 and the signal that ended it.
DEATHS = {
    132: "its processor lacks AVX: give the virtual machine its host's processor, or use mongo:4.4",
    139: "it crashes on this kernel, as MongoDB 8 does on Linux 6.19 to 7.0.13: use MongoDB 7",
}
# {hello: 1, $db: "admin"} as BSON in an OP_MSG, which every MongoDB from 3.6 on understands:
# https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
DOCUMENT = b"\x10hello\0\1\0\0\0\x02$db\0\6\0\0\0admin\0\0"
BSON = (len(DOCUMENT) + 4).to_bytes(4, "little") + DOCUMENT
MESSAGE = bytes(4) + b"\0" + BSON
OP_MSG = 2013
HELLO = b"".join(part.to_bytes(4, "little") for part in (len(MESSAGE) + 16, 1, 0, OP_MSG)) + MESSAGE


class Broken(Exception):
    """The database does not run here; the text says how it ended and what to do."""


def docker(*words: str) -> str:
    """
    Return what the client printed.

    Raises:
        Broken: It failed, with its own words.
    """
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(done.stderr.strip() or done.stdout.strip())
    return done.stdout.strip()


def remove() -> None:
    """Remove the container, also one that an earlier run left."""
    subprocess.run(["docker", "rm", "--force", "--volumes", NAME], capture_output=True, check=False)


def state() -> tuple[bool, int, float, str, str]:
    """Return whether it runs, its exit code, its age in seconds, its image's id, its address."""
    words = docker("inspect", "--format", LOOK, NAME).split()
    running, code, started, image, address = (*words, "")[:5]
    began = calendar.timegm(time.strptime(started[:19], "%Y-%m-%dT%H:%M:%S"))
    return running == "true", int(code), time.time() - began, image, address


def greet(address: str) -> None:
    """
    Ask the database whether it is there.

    Raises:
        Broken: It does not answer, or not as a database.
    """
    try:
        with socket.create_connection((address, PORT), timeout=ANSWER_SECONDS) as database:
            database.settimeout(ANSWER_SECONDS)
            database.sendall(HELLO)
            answer = database.recv(65536)
    except OSError as error:
        raise Broken(f"it runs, but does not answer: {error}") from error
    if b"\x01ok\0" not in answer:
        raise Broken(f"it answers, but not as MongoDB does: {answer[:80]!r}")


def watch(seconds: int) -> None:
    """
    Wait until it has run for so long, and see that it answers.

    Raises:
        Broken: It ended before.
    """
    while True:
        running, code, age, _, address = state()
        if not running:
            lines = docker("logs", "--tail", str(LAST_LINES), NAME).splitlines()
            why = DEATHS.get(code, "\n".join(lines) or "it said nothing")
            raise Broken(f"it ended with exit code {code} within {seconds} s: {why}")
        if age >= seconds:
            return greet(address)
        time.sleep(min(1.0, seconds - age))


def runs(identity: str) -> bool:
    """Tell whether the container runs, with this image."""
    try:
        running, _, _, running_image, _ = state()
    except Broken:
        return False
    return running and running_image == identity


def start(image: str, identity: str) -> None:
    """Start the container, unless it runs already."""
    words = ("run", "--detach", "--pull=never", f"--name={NAME}", f"--label={LABEL}", image)
    if runs(identity):
        return
    remove()
    try:
        docker(*words)
    except Broken as why:
        # The module of a run that was cut off may still be at it, a moment ahead of this one.
        if TAKEN not in str(why):
            raise
        if not runs(identity):
            remove()
            docker(*words)


def prove(params: dict[str, Any], identity: str) -> None:
    """
    Go as far with the proof as this call is to.

    Raises:
        Broken: The database does not run here; the container is gone.
    """
    try:
        start(params["image"], identity)
        if params["finish"]:
            watch(params["seconds"])
    except Broken:
        remove()
        raise
    if params["finish"]:
        remove()


def main() -> None:
    """Prove it, unless it is proven already."""
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "str", "required": True},
            "seconds": {"type": "int", "required": True},
            "finish": {"type": "bool", "default": False},
            "record": {"type": "path", "default": RECORD},
        },
        supports_check_mode=True,
    )
    params = module.params
    if not params["image"] or module.check_mode:
        module.exit_json(changed=False, skipped=True, proven={})
    record = Path(params["record"])
    try:
        identity = docker("image", "inspect", "--format", "{{.Id}}", params["image"])
        proven = {"image": params["image"], "id": identity, "kernel": platform.release()}
        known = json.loads(record.read_text()) if record.exists() else {}
        if known != proven:
            prove(params, identity)
            if params["finish"]:
                record.write_text(json.dumps(proven) + "\n")
    except Broken as error:
        module.fail_json(msg=f"{params['image']} does not keep running here: {error}")
    module.exit_json(changed=known != proven, proven=proven)


if __name__ == "__main__":
    main()
