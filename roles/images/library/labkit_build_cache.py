#!/usr/bin/python
"""Build the apps into the engine's cache, so that the attendee's first build is quick."""

from __future__ import annotations

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: labkit_build_cache
short_description: Warm the build cache
description:
  - Builds the apps as they were staged, into the cache only, so that no image is left behind.
    The cache goes by content; a build by anybody from a copy of the same files hits it.
  - Where the class has a depot, what a build fetches by plain http comes through it. Docker's own
    build arguments for proxies are no part of what the cache goes by.
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

ROOT = "/var/lib/labkit/sample_apps"
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


def build(context: Path, file: str, timeout: int, proxy: str) -> str:
    """
    Return the progress of a build.

    Raises:
        CalledProcessError: The build failed; its output tells why.
        TimeoutExpired: It took too long.
    """
    command = ["docker", "build", "--progress=plain", "--output=type=cacheonly"]
    return subprocess.run(
        [*command, *proxy_arguments(proxy), f"--file={context / file}", str(context)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=timeout,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
    ).stdout


def build_directly(context: Path, file: str, timeout: int, proxy: str) -> tuple[str, str]:
    """Build through the proxy, or else without; return the progress, and why it was without."""
    if proxy:
        try:
            return build(context, file, timeout, proxy), ""
        except subprocess.CalledProcessError as error:
            return build(context, file, timeout, ""), explain(error.stdout)
    return build(context, file, timeout, ""), ""


def build_all(module: AnsibleModule, builds: list[tuple[str, str]], notes: list[str]) -> list[str]:
    """Return the builds of which a step ran; fail with the words of the first that failed."""
    root, timeout = Path(module.params["root"]), module.params["timeout"]
    proxy = module.params["proxy"]
    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(build_directly, root / app, file, timeout, proxy) for app, file in builds
        ]
    ran = []
    for (app, file), run in zip(builds, runs, strict=True):
        try:
            progress, why = run.result()
            if why:
                notes.append(f"{app}/{file} was built directly; through the depot it said: {why}")
            if steps_run(progress):
                ran.append(f"{app}/{file}")
        except subprocess.CalledProcessError as error:
            module.fail_json(msg=f"{app}/{file} cannot be built: {explain(error.stdout)}")
        except subprocess.TimeoutExpired:
            module.fail_json(msg=f"{app}/{file} was not built within {timeout} s")
    return ran


def main() -> None:
    """Build until no step runs any more."""
    spec: dict[str, Any] = {
        "context": {"type": "str", "required": True},
        "files": {"type": "list", "elements": "str", "default": ["Dockerfile"]},
    }
    module = AnsibleModule(
        argument_spec={
            "builds": {"type": "list", "elements": "dict", "required": True, "options": spec},
            "root": {"type": "path", "default": ROOT},
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
    notes: list[str] = []
    built = build_all(module, builds, notes)
    # The proof: what was built now is not built again.
    again = build_all(module, [name for name in builds if "/".join(name) in built], notes)
    if again:
        module.fail_json(msg=f"The build cache does not hold {', '.join(again)}: is the disk full?")
    module.exit_json(changed=bool(built), built=built, notes=notes)


if __name__ == "__main__":
    main()
