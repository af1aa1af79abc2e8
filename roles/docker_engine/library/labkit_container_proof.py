#!/usr/bin/python
"""Prove that the engine runs containers, without asking any registry for an image."""

from __future__ import annotations

import io
import re
import secrets
import shutil
import subprocess
import tarfile
import time

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_container_proof
short_description: Run a container made of a program of this machine
description:
  - Imports C(echo) and the libraries it needs as an image, runs it with a word that
    nobody could guess, and removes image and container. Nothing else is touched.
  - A container that does not start is tried once more, and the first answer is a note.
author: [labkit]
"""
EXAMPLES = r"""
- name: Prove that a container runs
  labkit_container_proof:
"""
RETURN = r"""
said: {description: What the container printed., type: str, returned: success}
notes: {description: What the instructor should know., type: list, returned: success}
"""

LABEL = "labkit.check"
TIMEOUT_SECONDS = 60
PAUSE_SECONDS = 2.0


def libraries(listing: str) -> list[str]:
    """Return the files that `ldd` names; a static program has none."""
    return re.findall(r"(?:=> )?(/\S+) \(0x", listing)


def image(program: str, listing: str) -> bytes:
    """Return a tar archive of the program, as /echo, and its libraries."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", dereference=True) as archive:
        archive.add(program, "echo")
        for library in libraries(listing):
            archive.add(library, library.lstrip("/"))
    return stream.getvalue()


def docker(*words: str, data: bytes | None = None) -> str:
    """
    Return what the client printed.

    Raises:
        CalledProcessError: It failed; the reason is in its stderr.
        TimeoutExpired: It did not answer.
    """
    done = subprocess.run(
        ["docker", *words], input=data, capture_output=True, check=True, timeout=TIMEOUT_SECONDS
    )
    return done.stdout.decode().strip()


def run(name: str, word: str) -> tuple[str, list[str]]:
    """
    Return what the container said, and a note if it took a second try to start it.

    Seen once in thousands of starts, for no reason that was found: runc's first process was gone.
    Others meet it where many start at once: https://github.com/concourse/concourse/issues/6180.
    """
    words = ("run", "--rm", f"--label={LABEL}=docker_engine", name, "/echo", word)
    try:
        return docker(*words), []
    except subprocess.CalledProcessError as error:
        answer = error.stderr.decode().strip()
    time.sleep(PAUSE_SECONDS)
    return docker(*words), [f"a container started at the second try only; the first time: {answer}"]


def prove(program: str) -> tuple[str, list[str]]:
    """Return what the container said, and notes."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    change = f"--change=LABEL {LABEL}=docker_engine"
    name = docker("import", change, "-", data=image(program, listing))
    word = secrets.token_hex(8)
    try:
        said, notes = run(name, word)
    finally:
        docker("image", "rm", "--force", name)
    if said != word:
        raise ValueError(f"expected {word}, seen {said!r}")
    return said, notes


def main() -> None:
    """Run the proof; it changes nothing that stays."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    if module.check_mode:  # there may be no engine yet
        module.exit_json(changed=False, skipped=True, said="", notes=[])
    program = shutil.which("echo", path="/usr/bin:/bin") or "/bin/echo"
    try:
        said, notes = prove(program)
        module.exit_json(changed=False, said=said, notes=notes)
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"No container runs here: {error.stderr.decode().strip()}")
    except (subprocess.TimeoutExpired, ValueError) as error:
        module.fail_json(msg=f"No container runs here: {error}")


if __name__ == "__main__":
    main()
