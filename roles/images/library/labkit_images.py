#!/usr/bin/python
"""Pull what is missing of the class's images, several at a time."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_engine_pulls import (
    Engine,
    PullError,
    digests,
    is_there,
    split,
    wanted_digest,
)
from ansible.module_utils.labkit_engine_socket import ENGINE_SOCKET
from ansible.module_utils.labkit_left_depot import Depot

DOCUMENTATION = r"""
module: labkit_images
short_description: Have images on the machine
description:
  - Pulls what is missing or is not what was pulled before, and records the digests. An image
    that is gone is pulled again by its recorded digest, so that the class stays the same.
  - What the engine has is asked of it once for all images.
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
  lock:
    description: Reference → digest. What the machine has in another one is replaced.
    type: dict
    default: {}
  depot:
    description: The class's depot, if it answers; it is left where it dies meanwhile.
    type: str
    default: ""
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
  description:
    - Of each image reference, digest, bytes, seconds, pulled, tagged; and instead_of where nobody
      has the locked digest any more.
  type: list
  returned: always
notes: {description: What the instructor should know., type: list, returned: always}
"""

RECORD = "/var/lib/labkit/images.json"
# Docker itself fetches three layers of an image at a time.
PULLS_AT_A_TIME = 4


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
        self.depot = Depot(module.params["depot"])
        self.engine = Engine(module.params["patience"], self.depot.left, self.depot.bears)
        self.path = Path(module.params["record"])
        self.record: dict[str, Any] = {}
        if self.path.exists():
            self.record = json.loads(self.path.read_text())
        self.shelf = self.engine.shelf()
        self.notes: list[str] = []

    def wanted(self, reference: str) -> str:
        """Return the digest that an image has to have, "" where any will do."""
        return wanted_digest(self.record.get(reference, {}), self.module.params["lock"], reference)

    def missing(self) -> list[dict[str, Any]]:
        """Return the images that have to be pulled."""
        return [
            image
            for image in self.module.params["images"]
            if not is_there(
                self.shelf.find(image["reference"]),
                split(image["reference"])[0],
                self.wanted(image["reference"]),
            )
        ]

    def check_disk(self, missing: list[dict[str, Any]]) -> None:
        """Fail if what is missing would not leave enough."""
        if not missing:
            return
        root = self.engine.ask("GET", "/info")[1]["DockerRootDir"]
        free = shutil.disk_usage(root).free // 2**20
        reserve = self.module.params["reserve_mb"]
        needed = sum(image["disk_mb"] for image in missing)
        if free < needed + reserve:
            names = ", ".join(image["reference"] for image in missing)
            self.module.fail_json(
                msg=f"{root} has {free} MB free; {names} take about {needed} MB, and "
                f"{reserve} MB have to remain (images_reserve_mb). Nothing was pulled"
            )

    def pull_all(self, missing: list[dict[str, Any]]) -> None:
        """Have all images; record those that are there, and fail for those that are not."""
        began, failed = time.time(), {}
        pulled: dict[str, tuple[str, float]] = {}
        with ThreadPoolExecutor(PULLS_AT_A_TIME) as pool:
            runs = {
                image["reference"]: pool.submit(self.pull, image["reference"]) for image in missing
            }
        for reference, run in runs.items():
            try:
                pulled[reference] = run.result()
            except (PullError, OSError) as error:
                failed[reference] = str(error)
        if missing:
            self.shelf = self.engine.shelf()
        done = []
        for image in self.module.params["images"]:
            if image["reference"] not in failed:
                try:
                    done.append(self.describe(image, *pulled.get(image["reference"], ("", 0.0))))
                except (PullError, OSError) as error:
                    failed[image["reference"]] = str(error)
        self.depot.back()
        changed = self.remember(done) or any(image["pulled"] or image["tagged"] for image in done)
        notes = [*self.depot.notes, *self.notes]
        if failed:
            answers = "\n".join(f"{name}: {answer}" for name, answer in failed.items())
            self.module.fail_json(
                msg=f"Not pulled: {answers}{mirrors_answers(began, answers)}",
                images=done,
                changed=changed,
                notes=notes,
            )
        self.module.exit_json(changed=changed, images=done, notes=notes)

    def pull(self, reference: str) -> tuple[str, float]:
        """Pull one image; return what came of it, and the seconds that it took."""
        began, mirrored = time.monotonic(), bool(self.depot.url)
        how = self.engine.fetch(reference, self.wanted(reference), mirrored=mirrored)
        return how, round(time.monotonic() - began, 1)

    def describe(self, wanted: dict[str, Any], how: str, seconds: float) -> dict[str, Any]:
        """Give an image all its names; return what became of it."""
        reference = wanted["reference"]
        image = self.shelf.find(reference)
        if image is None:
            raise PullError("it was pulled, but the engine does not know it")
        known, digest = digests(image, split(reference)[0]), self.wanted(reference)
        digest = digest if digest in known else [*known, image["Id"]][0]
        tagged = []
        for name in wanted["tags"] or []:
            there = self.shelf.find(name)
            if there is None or there["Id"] != image["Id"]:
                self.engine.tag(reference, name)
                tagged.append(name)
        result = {"reference": reference, "digest": digest, "bytes": image["Size"]}
        locked = self.module.params["lock"].get(reference, "")
        if locked and locked != digest:
            result["instead_of"] = locked
            if how:
                self.notes.append(
                    f"{reference} was pulled by its name, as {digest}: nobody has {locked} any "
                    "more, which images.lock.yml tells; seed the depot again"
                )
        return {**result, "pulled": bool(how), "tagged": tagged, "seconds": seconds}

    def remember(self, done: list[dict[str, Any]]) -> bool:
        """Write the record; tell whether it is another than before."""
        kinds = ("digest", "bytes", "instead_of")
        record = {i["reference"]: {kind: i[kind] for kind in kinds if kind in i} for i in done}
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
            "lock": {"type": "dict", "default": {}},
            "depot": {"type": "str", "default": ""},
            "record": {"type": "path", "default": RECORD},
            "patience": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    if module.check_mode and not Path(ENGINE_SOCKET).exists():
        names = [entry["reference"] for entry in module.params["images"]]
        module.exit_json(changed=bool(names), msg=f"would pull {', '.join(names)}")
    try:
        pulls = Pulls(module)
        missing = pulls.missing()
        pulls.check_disk(missing)
    except OSError as error:
        module.fail_json(msg=f"The engine does not answer at {ENGINE_SOCKET}: {error}")
    if module.check_mode:
        names = [entry["reference"] for entry in missing]
        module.exit_json(changed=bool(names), msg=f"would pull: {', '.join(names) or 'nothing'}")
    pulls.pull_all(missing)


if __name__ == "__main__":
    main()
