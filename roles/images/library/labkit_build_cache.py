#!/usr/bin/python
"""Build the apps into the engine's cache, so that the attendee's first build is quick."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.labkit_depot import silence
from ansible.module_utils.labkit_staged import RECORD, without_depot

DOCUMENTATION = r"""
module: labkit_build_cache
short_description: Warm the build cache
description:
  - Builds the apps as they were staged, into the cache only, so that no image is left behind.
    The cache goes by content; a build by anybody from a copy of the same files hits it.
  - Where the class has a depot, what a build fetches by plain http comes through it. Docker's own
    build arguments for proxies are no part of what the cache goes by.
  - What fails through the depot is built directly. If the depot is silent then, npm is not sent
    there any more, in I(root) and in the home of I(owner), where that file is as it was staged.
options:
  builds:
    description: What is built.
    type: list
    elements: dict
    required: true
    suboptions:
      context: {description: The app., type: str, required: true}
      files: {description: Its Dockerfiles., type: list, elements: str, default: [Dockerfile]}
  root: {description: Where the apps are as they were staged., type: path}
  owner: {description: The account in whose home the apps are., type: str, default: ""}
  depot: {description: "The class's depot, whether it answers or not.", type: str, default: ""}
  proxy: {description: The depot as a proxy for apt, if it answers., type: str, default: ""}
  timeout: {description: Seconds for one build., type: int, default: 900}
author: [labkit]
"""
EXAMPLES = r"""
- name: Warm the build cache
  labkit_build_cache:
    builds: [{context: fortune-clock}]
"""
RETURN = r"""
built: {description: "Builds of which a step really ran.", type: list, returned: success}
notes: {description: What the instructor should know., type: list, returned: success}
"""

# A depot that hangs is given up early, after a third of a build's time.
HASTE = 3
# The steps that take time and that the cache holds; FROM is never told as cached.
STEP = re.compile(r"^#(\d+) \[[^]]*\d+/\d+\] (?!FROM)", re.MULTILINE)
CACHED = re.compile(r"^#(\d+) CACHED", re.MULTILINE)


def steps_run(progress: str) -> set[str]:
    """Return the numbers of the steps that really ran, from plain progress of a build."""
    return set(STEP.findall(progress)) - set(CACHED.findall(progress))


def explain(progress: str) -> str:
    """Return the part of a failed build's output that tells why."""
    lines = [line for line in progress.splitlines() if line.strip()]
    wrong = [line for line in lines if line.startswith("ERROR") or " ERROR" in line]
    words = re.findall(r"^ > .*\n(?:.*\n)*?------$", progress, re.MULTILINE)
    return "\n".join([*words[-1:], *(wrong[-1:] or lines[-10:])])


def proxy_arguments(proxy: str) -> list[str]:
    """
    Return the words that have a build go through a proxy, none without one.

    Not to the proxy's own host: npm's modules are had there, without one.
    """
    if not proxy:
        return []
    but = f"localhost,127.0.0.1,{urlsplit(proxy).hostname}"
    values = (f"http_proxy={proxy}", f"no_proxy={but}", f"NO_PROXY={but}")
    return [f"--build-arg={value}" for value in values]


class Built(NamedTuple):
    """What came of a build: its steps that really ran, and why it failed, "" if it did not."""

    steps: set[str]
    wrong: str = ""


Name = tuple[str, str]


def build(context: Path, file: str, timeout: int, proxy: str) -> Built:
    """Build into the cache."""
    command = ["docker", "build", "--progress=plain", "--output=type=cacheonly"]
    try:
        done = subprocess.run(
            [*command, *proxy_arguments(proxy), f"--file={context / file}", str(context)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=timeout,
            env={**os.environ, "DOCKER_BUILDKIT": "1"},
        )
    except subprocess.CalledProcessError as error:
        return Built(steps_run(error.stdout), explain(error.stdout) or "it failed without a word")
    except subprocess.TimeoutExpired:
        return Built(set(), f"it was not built within {timeout} s")
    return Built(steps_run(done.stdout))


class Builds:
    """The builds of one run, through the depot as long as it answers."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params, self.notes = params, []  # type: dict[str, Any], list[str]
        self.left = not params["depot"]

    def run(self, names: list[Name], timeout: int, proxy: str) -> dict[Name, Built]:
        """Build, two at a time."""
        root = Path(self.params["root"])
        with ThreadPoolExecutor(2) as pool:
            runs = {(a, f): pool.submit(build, root / a, f, timeout, proxy) for a, f in names}
        return {name: run.result() for name, run in runs.items()}

    def run_all(self, names: list[Name]) -> dict[Name, Built]:
        """
        Build through the depot, and without it what failed there.

        Without the depot's line in .npmrc an app has other files, so that all are built again.
        """
        timeout = self.params["timeout"]
        proxy = "" if self.leave() else self.params["proxy"]
        done = self.run(names, timeout // HASTE if proxy else timeout, proxy)
        failed = {name: built.wrong for name, built in done.items() if built.wrong}
        if not failed or not proxy:
            return done
        again = self.run(names if self.leave() else list(failed), timeout, "")
        for name, wrong in failed.items():
            if not again[name].wrong:
                told = f"through the depot it said: {wrong}"
                self.notes.append(f"{'/'.join(name)} was built directly; {told}")
        return {n: Built(done[n].steps | b.steps, b.wrong) for n, b in {**done, **again}.items()}

    def leave(self) -> bool:
        """Tell whether the depot is gone, or there is none; npm is not sent there any more."""
        url = self.params["depot"]
        if self.left or not (reason := silence(url)):
            return self.left
        self.left, freed = True, []
        try:
            freed = without_depot(Path(self.params["root"]), self.params["owner"], url)
        except (OSError, KeyError) as error:
            self.notes.append(f"npm may still be sent to the depot {url}: {error}")
        # Of one that was silent before, and named nowhere, preflight has told.
        if freed or self.params["proxy"]:
            self.notes.append(
                f"the depot {url} stopped answering ({reason}), so this machine built its apps "
                "directly: look with labkit depot status"
            )
        return True


def fail_for(module: AnsibleModule, done: dict[Name, Built], notes: list[str]) -> None:
    """Fail with the words of the first build that failed."""
    for name, built in done.items():
        if built.wrong:
            module.fail_json(msg=f"{'/'.join(name)} cannot be built: {built.wrong}", notes=notes)


def main() -> None:
    """Build until no step runs any more."""
    spec: dict[str, Any] = {
        "context": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "str", "default": ["Dockerfile"]},
    }
    module = AnsibleModule(
        argument_spec={
            "builds": {"type": "list", "elements": "dict", "required": True, "options": spec},
            "root": {"type": "path", "default": RECORD},
            "owner": {"type": "str", "default": ""},
            "depot": {"type": "str", "default": ""},
            "proxy": {"type": "str", "default": ""},
            "timeout": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    builds = [
        (entry["context"], name) for entry in module.params["builds"] for name in entry["files"]
    ]
    if module.check_mode:  # there is no way to ask the cache but to build
        module.exit_json(changed=False, skipped=True, built=[])
    missing = [name for name in builds if not Path(module.params["root"], *name).is_file()]
    if missing:
        names = ", ".join("/".join(name) for name in missing)
        module.fail_json(msg=f"{names} was not staged: is it in sample_apps_names?")
    runs = Builds(module.params)
    done = runs.run_all(builds)
    fail_for(module, done, runs.notes)
    built = [name for name, one in done.items() if one.steps]
    # The proof: what was built now is not built again.
    proof = runs.run(built, module.params["timeout"], "")
    fail_for(module, proof, runs.notes)
    if again := ["/".join(name) for name, one in proof.items() if one.steps]:
        module.fail_json(msg=f"The build cache does not hold {', '.join(again)}: is the disk full?")
    names = ["/".join(name) for name in built]
    module.exit_json(changed=bool(built), built=names, notes=runs.notes)


if __name__ == "__main__":
    main()
