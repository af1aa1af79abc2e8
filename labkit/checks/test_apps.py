"""The sample apps: all there, and built before the attendee builds them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import Note, promise
from labkit.paths import content

# The role keeps each app here as it was staged: what the attendee edits does not count.
PRISTINE = "/var/lib/labkit/sample_apps"
BUILD_SECONDS = 300
RUN_STEP = re.compile(r"^#(\d+) \[[^]]*\d+/\d+\] (?!FROM)(.*)", re.MULTILINE)
CACHED = re.compile(r"^#(\d+) CACHED", re.MULTILINE)


def files_of(app: Path) -> Iterator[str]:
    """Yield the files of an app, relative to it."""
    for file in sorted(app.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield str(file.relative_to(app))


def test_the_app_is_staged(host: Host, machine: Machine, app: str, note: Note) -> None:
    files = list(files_of(content() / app))
    names = " ".join(shlex.quote(f"{app}/{file}") for file in files)
    home = f'cd "$(getent passwd {machine.attendee} | cut -d : -f 6)"'
    look = (
        f'test -f "$f" && if cmp -s "$f" "{PRISTINE}/$f"; then echo "$f"; else echo "$f" edited; fi'
    )
    seen = host.run(f"{home} && for f in {names}; do {look}; done")
    there = seen.stdout.splitlines()
    edited = [line.removesuffix(" edited") for line in there if line.endswith(" edited")]
    missing = [file for file in files if f"{app}/{file}" not in {*there, *edited}]

    promise(
        not missing,
        expected=f"all files of {app} in the attendee's home",
        seen=f"no {', '.join(missing)} {seen.stderr}".strip(),
        todo=machine.repair("sample_apps"),
    )
    if edited:
        note(f"kept as the attendee changed them: {', '.join(edited)}")


def test_the_first_build_hits_the_cache(
    host: Host, machine: Machine, build: tuple[str, str]
) -> None:
    context, file = build
    place = f"{PRISTINE}/{context}"
    seen = host.run(
        "docker build --progress=plain --output=type=cacheonly -f %s %s",
        f"{place}/{file}",
        place,
        limit=BUILD_SECONDS,
    )
    progress = seen.stdout + seen.stderr
    cached = set(CACHED.findall(progress))
    ran = [step for number, step in RUN_STEP.findall(progress) if number not in cached]

    promise(
        seen.succeeded and not ran,
        expected=f"every step of {context}/{file} to come from the cache",
        seen=f"these steps ran: {'; '.join(ran)}" if seen.succeeded else progress[-500:],
        todo=machine.repair("sample_apps,images"),
    )
