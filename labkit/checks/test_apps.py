"""The sample apps: all there, and built before the attendee builds them."""

import json
import re
import shlex

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import Note, promise
from labkit.paths import content, files_of

# The role keeps each app here as it was staged: what the attendee edits does not count.
PRISTINE = "/var/lib/labkit/sample_apps"
BUILD_SECONDS = 300
COMPOSE = re.compile(r"docker-compose.*\.yml")
# Of a bake in plain progress: number, target, and what a step does that is no mere FROM.
STEP = re.compile(r"^#(\d+) \[(\S+) (?:\S+ )?\d+/\d+\] (?!FROM)(.*)", re.MULTILINE)
CACHED = re.compile(r"^#(\d+) CACHED", re.MULTILINE)


def names_of(app: str) -> list[str]:
    """Return the files of an app, relative to it."""
    return [str(file.relative_to(content() / app)) for file in files_of(content() / app)]


def sums(listing: str) -> dict[str, str]:
    """Return the digest of each file that `sha256sum` could read, by its path."""
    parts = (line.partition("  ") for line in listing.splitlines())
    return {path: digest for digest, _, path in parts}


def test_the_app_is_staged(host: Host, machine: Machine, app: str, note: Note) -> None:
    files = names_of(app)
    look = f"sha256sum {shlex.join(f'{app}/{file}' for file in files)}"
    seen = host.run(f'cd "$(getent passwd {machine.attendee} | cut -d : -f 6)" && {look}')
    here, staged = sums(seen.stdout), sums(host.run(f"cd {PRISTINE} && {look}").stdout)
    missing = [file for file in files if f"{app}/{file}" not in here]
    edited = [path for path, digest in here.items() if digest != staged.get(path)]

    promise(
        not missing,
        expected=f"all files of {app} in the attendee's home",
        seen=f"no {', '.join(missing)}",
        todo=machine.repair("sample_apps"),
    )
    if edited:
        note(f"kept as the attendee changed them: {', '.join(edited)}")


def target(context: str, file: str) -> str:
    """Return a build's name as a bake allows it."""
    return re.sub(r"[^\w-]", "_", f"{context}_{file}")


@pytest.fixture(scope="module")
def bake(host: Host, machine: Machine) -> CommandResult:
    """Build all at once, as they were staged: each build alone would start the client anew."""
    targets = {
        target(build["context"], file): {
            "context": build["context"],
            "dockerfile": file,
            "output": ["type=cacheonly"],
        }
        for build in machine.inputs.get("images_build") or []
        for file in build.get("files") or ["Dockerfile"]
    }
    wanted = shlex.quote(json.dumps({"target": targets}))
    go = f"docker buildx bake --progress=plain --file - {' '.join(targets)}"
    # Another folder than the current one it would only read with leave.
    return host.run(f"cd {PRISTINE} && echo {wanted} | {go}", limit=BUILD_SECONDS)


def test_the_first_build_hits_the_cache(
    bake: CommandResult, machine: Machine, build: tuple[str, str]
) -> None:
    progress = bake.stdout + bake.stderr
    cached = set(CACHED.findall(progress))
    ran = [
        step
        for number, name, step in STEP.findall(progress)
        if name == target(*build) and number not in cached
    ]

    promise(
        bake.succeeded and not ran,
        expected=f"every step of {'/'.join(build)} to come from the cache",
        seen=f"these steps ran: {'; '.join(ran)}" if bake.succeeded else progress[-500:],
        todo=machine.repair("sample_apps,images"),
    )


def test_the_compose_files_are_valid(host: Host, machine: Machine, app: str) -> None:
    files = [file for file in names_of(app) if COMPOSE.fullmatch(file)]
    if not files:
        pytest.skip("it has none")
    # The same program as docker's plugin, without docker's own start before it.
    look = "docker-compose --file $f config --quiet || echo $f"
    seen = host.run(f"cd {PRISTINE}/{app} && for f in {' '.join(files)}; do {look}; done")

    promise(
        not seen.stdout and seen.succeeded,
        expected=f"docker compose to accept {', '.join(files)}",
        seen=f"{seen.stdout} {seen.stderr}",
        todo=machine.repair("sample_apps,docker_engine"),
    )
