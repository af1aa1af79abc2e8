#!/usr/bin/python
"""Pull what is missing of the class's images, several at a time."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule

if TYPE_CHECKING:
    from collections.abc import Iterable

DOCUMENTATION = r"""
module: labkit_images
short_description: Have images on the machine
description:
  - Pulls what is missing or is not what was pulled before, and records the digests. An image
    that is gone is pulled again by its recorded digest, so that the class stays the same.
options:
  images:
    description: What has to be there.
    type: list
    elements: dict
    required: true
    suboptions:
      reference: {description: As docker pull takes it., type: str, required: true}
      tags: {description: Further names for it., type: list, elements: str, default: []}
      disk_mb: {description: What it takes about., type: int, default: 250}
  reserve_mb: {description: Free disk that has to remain., type: int, default: 1024}
  record: {description: Where the digests are kept., type: path}
  patience: {description: Seconds of silence until a pull is given up., type: int, default: 60}
author: [labkit]
"""
EXAMPLES = r"""
- name: Pull the images of the class
  labkit_images:
    images: [{reference: "ubuntu:24.04", tags: [ubuntu:latest]}]
"""
RETURN = r"""
images:
  description: "Of each image reference, digest, bytes, seconds, pulled, tagged."
  type: list
  returned: always
"""

ENGINE_SOCKET = "/run/docker.sock"
RECORD = "/var/lib/labkit/images.json"
# Docker itself fetches three layers of an image at a time.
PULLS_AT_A_TIME = 4
PAUSES = (2, 8)
# Another try does not change these answers.
FINAL = re.compile(
    r"not found|manifest unknown|no matching manifest|denied|unauthorized|invalid|no space left",
    re.IGNORECASE,
)
ABSENT = re.compile(r"not found|manifest unknown", re.IGNORECASE)

Image = dict[str, Any]


class PullError(Exception):
    """An image cannot be had; the text is the engine's or the registry's answer."""


class EngineConnection(http.client.HTTPConnection):
    """HTTP over the engine's socket."""

    def connect(self) -> None:
        """Connect to the socket instead of to a host."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(ENGINE_SOCKET)


def split(reference: str) -> tuple[str, str]:
    """Return repository, and tag or digest ("latest" if it has none)."""
    if "@" in reference:
        repository, _, digest = reference.partition("@")
        return split(repository)[0], digest
    repository, colon, tag = reference.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (reference, "latest")


def digests(image: Image | None, repository: str) -> list[str]:
    """Return the digests under which the engine got an image from that repository."""

    def short(name: str) -> str:
        return name.removeprefix("docker.io/").removeprefix("library/")

    known = [name.partition("@") for name in (image or {}).get("RepoDigests") or []]
    return [digest for name, _, digest in known if short(name) == short(repository)]


def read_progress(lines: Iterable[bytes]) -> None:
    """
    Follow a pull to its end.

    Raises:
        PullError: The engine told of an error.
    """
    for line in lines:
        event = json.loads(line)
        if "error" in event:
            raise PullError(event["error"])


class Engine:
    """The Docker engine of this machine (https://docs.docker.com/reference/api/engine/)."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def ask(self, method: str, path: str) -> tuple[int, Any]:
        """Return status and answer; the answer of a pull is read to its end."""
        connection = EngineConnection("localhost", timeout=self.patience)
        connection.request(method, path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        if path.startswith("/images/create") and answer.status == http.client.OK:
            return answer.status, read_progress(answer)  # type: ignore[func-returns-value]
        body = answer.read()
        return answer.status, json.loads(body) if body else None

    def inspect(self, reference: str) -> Image | None:
        """Return what the engine knows of an image."""
        status, image = self.ask("GET", f"/images/{quote(reference)}/json")
        return image if status == http.client.OK else None

    def tag(self, reference: str, name: str) -> bool:
        """Give an image a further name; tell whether it was new."""
        source, target = self.inspect(reference), self.inspect(name)
        if source and target and source["Id"] == target["Id"]:
            return False
        repository, tag = split(name)
        status, answer = self.ask(
            "POST", f"/images/{quote(reference)}/tag?repo={quote(repository)}&tag={quote(tag)}"
        )
        if status != http.client.CREATED:
            raise PullError(f"it cannot be named {name}: {answer['message']}")
        return True

    def pull_once(self, reference: str) -> None:
        """
        Pull an image.

        Raises:
            PullError: With the answer, or because there was none for too long.
        """
        repository, tag = split(reference)
        path = f"/images/create?fromImage={quote(repository)}&tag={quote(tag)}"
        try:
            status, answer = self.ask("POST", path)
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise PullError(str(error) or f"silent for {self.patience} s") from error
        if status != http.client.OK:
            raise PullError(answer["message"])

    def pull(self, reference: str) -> None:
        """Pull an image, with further tries where they may help."""
        for pause in (*PAUSES, None):
            try:
                return self.pull_once(reference)
            except PullError as error:
                if pause is None or FINAL.search(str(error)):
                    raise
                time.sleep(pause)
        return None

    def ensure(self, wanted: dict[str, Any], recorded: str) -> dict[str, Any]:
        """Have one image with all its names; return what became of it."""
        reference, began = wanted["reference"], time.monotonic()
        repository = split(reference)[0]
        pulled = not is_there(self.inspect(reference), repository, recorded)
        if pulled:
            self.fetch(reference, repository, recorded)
        image = self.inspect(reference)
        if image is None:
            raise PullError("it was pulled, but the engine does not know it")
        known = digests(image, repository)
        return {
            "reference": reference,
            "digest": recorded if recorded in known else [*known, image["Id"]][0],
            "bytes": image["Size"],
            "pulled": pulled,
            "tagged": [name for name in wanted["tags"] or [] if self.tag(reference, name)],
            "seconds": round(time.monotonic() - began, 1),
        }

    def fetch(self, reference: str, repository: str, recorded: str) -> None:
        """Pull by the recorded digest, or by name if the registry has it no more."""
        exact = f"{repository}@{recorded}"
        try:
            if recorded and exact != reference:
                self.pull(exact)
                self.tag(exact, reference)
                return
        except PullError as error:
            if not ABSENT.search(str(error)):
                raise
        self.pull(reference)


def is_there(image: Image | None, repository: str, recorded: str) -> bool:
    """Tell whether an image is the one recorded, or any that came from its registry."""
    known = digests(image, repository)
    return recorded in known if recorded else bool(known)


def earlier_answers(journal: str) -> list[str]:
    """
    Return what the engine was answered before it asked elsewhere, from its journal.

    With a mirror, the engine's own error is only that of the last place it asked.
    """
    found = re.findall(r'next endpoint for pull after error: ((?:[^"\\]|\\.)+)', journal)
    return sorted({answer.replace('\\"', '"') for answer in found})


def mirrors_answers(since: float, told: str) -> str:
    """Return what mirrors answered since then, unless it is told already."""
    journal = subprocess.run(
        ["journalctl", "--unit=docker.service", f"--since=@{int(since)}", "--output=cat"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    found = [answer for answer in earlier_answers(journal) if answer not in told]
    return "".join(f"\n  before that: {answer}" for answer in found)


class Pulls:
    """One run of the module."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.engine = Engine(module.params["patience"])
        self.path = Path(module.params["record"])
        self.record: dict[str, Any] = {}
        if self.path.exists():
            self.record = json.loads(self.path.read_text())

    def recorded(self, reference: str) -> str:
        """Return the digest that an image was pulled with."""
        return str(self.record.get(reference, {}).get("digest", ""))

    def missing(self) -> list[dict[str, Any]]:
        """Return the images that have to be pulled."""
        return [
            image
            for image in self.module.params["images"]
            if not is_there(
                self.engine.inspect(image["reference"]),
                split(image["reference"])[0],
                self.recorded(image["reference"]),
            )
        ]

    def check_disk(self, missing: list[dict[str, Any]]) -> None:
        """Fail if what is missing would not leave enough."""
        root = self.engine.ask("GET", "/info")[1]["DockerRootDir"]
        free = shutil.disk_usage(root).free // 2**20
        reserve = self.module.params["reserve_mb"]
        needed = sum(image["disk_mb"] for image in missing)
        if missing and free < needed + reserve:
            names = ", ".join(image["reference"] for image in missing)
            self.module.fail_json(
                msg=f"{root} has {free} MB free; {names} take about {needed} MB, and "
                f"{reserve} MB have to remain (images_reserve_mb). Nothing was pulled"
            )

    def pull_all(self) -> None:
        """Have all images; record those that are there, and fail for those that are not."""
        began, done, failed = time.time(), [], {}
        images = self.module.params["images"]
        with ThreadPoolExecutor(PULLS_AT_A_TIME) as pool:
            runs = {
                image["reference"]: pool.submit(
                    self.engine.ensure, image, self.recorded(image["reference"])
                )
                for image in images
            }
        for reference, run in runs.items():
            try:
                done.append(run.result())
            except (PullError, OSError) as error:
                failed[reference] = str(error)
        changed = self.remember(done) or any(image["pulled"] or image["tagged"] for image in done)
        if failed:
            answers = "\n".join(f"{name}: {answer}" for name, answer in failed.items())
            self.module.fail_json(
                msg=f"Not pulled: {answers}{mirrors_answers(began, answers)}",
                images=done,
                changed=changed,
            )
        self.module.exit_json(changed=changed, images=done)

    def remember(self, done: list[dict[str, Any]]) -> bool:
        """Write the record; tell whether it is another than before."""
        record = {i["reference"]: {"digest": i["digest"], "bytes": i["bytes"]} for i in done}
        listed = {image["reference"] for image in self.module.params["images"]}
        # What could not be pulled keeps its digest for the next try.
        kept = {name: entry for name, entry in self.record.items() if name in listed}
        if {**kept, **record} == self.record:
            return False
        self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps({**kept, **record}, indent=2) + "\n")
        draft.chmod(0o644)
        draft.replace(self.path)
        return True


def main() -> None:
    """Look what is missing, see that it fits, pull it."""
    image = {
        "reference": {"type": "str", "required": True},
        "tags": {"type": "list", "elements": "str", "default": []},
        "disk_mb": {"type": "int", "default": 250},
    }
    module = AnsibleModule(
        argument_spec={
            "images": {"type": "list", "elements": "dict", "required": True, "options": image},
            "reserve_mb": {"type": "int", "default": 1024},
            "record": {"type": "path", "default": RECORD},
            "patience": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not Path(ENGINE_SOCKET).exists():
        names = [entry["reference"] for entry in module.params["images"]]
        module.exit_json(changed=bool(names), msg=f"would pull {', '.join(names)}")
    pulls = Pulls(module)
    try:
        missing = pulls.missing()
        pulls.check_disk(missing)
    except OSError as error:
        module.fail_json(msg=f"The engine does not answer at {ENGINE_SOCKET}: {error}")
    if module.check_mode:
        names = [entry["reference"] for entry in missing]
        module.exit_json(changed=bool(names), msg=f"would pull: {', '.join(names) or 'nothing'}")
    pulls.pull_all()


if __name__ == "__main__":
    main()
