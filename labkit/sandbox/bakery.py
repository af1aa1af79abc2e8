"""Builds stand-ins on the box's engine, side by side, and keeps them in the registry."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from functools import partial

from docker import DockerClient
from docker.errors import APIError

from labkit.errors import ControllerError
from labkit.sandbox import abreast, parts, turn
from labkit.sandbox.build import STAND_IN, build
from labkit.sandbox.standins import LOCAL, Plan, plans
from labkit.sandbox.upload import Registry

Tell = Callable[[str], None]


def ensure_stand_ins(
    client: DockerClient, registry: Registry, tell: Tell, wanted: Collection[str] = ()
) -> list[Plan]:
    """
    See to it that the registry serves the wanted stand-ins, or all, built from today's sources.

    An image's sources are named by one more of its tags, so that a second look is all it takes.

    Raises:
        BadInput: There is no such stand-in.
        ControllerError: The sources or a tool are missing, or a build failed.
    """
    chosen = plans(wanted)
    ensure(lambda: client, registry, tell, chosen)
    return chosen


def ensure(
    engine: Callable[[], DockerClient], registry: Registry, tell: Tell, chosen: Collection[Plan]
) -> None:
    """
    See to it that the registry serves these images, built from today's sources.

    The engine is asked for only where something has to be built.

    Raises:
        ControllerError: The sources or a tool are missing, or a build failed.
    """
    # Whatever their caches: the engine, and what is cleared away there, is the same.
    with turn.taken("stand-ins", partial(tell, "waiting for another labkit's stand-ins")):
        missing = [plan for plan in chosen if _manifest(registry, plan) is None]
        if missing:
            if any(plan.stands_in for plan in missing):
                tell("building stand-ins for Docker Hub's images; all of them take some minutes")
            _bake(engine(), registry, missing, tell)
    for plan in chosen:
        for tag in plan.image.tags:
            registry.tag(plan.repository, tag, _kept(registry, plan))


def fetch(client: DockerClient, registry: Registry, plan: Plan, names: Collection[str]) -> None:
    """Let the engine have an image of the registry under these names."""
    with tempfile.TemporaryFile() as archive:
        registry.download(plan.repository, _kept(registry, plan), names, archive)
        archive.seek(0)
        client.images.load(archive)


def _bake(client: DockerClient, registry: Registry, wanted: list[Plan], tell: Tell) -> None:
    jobs = {}
    for plan in _with_parents(wanted):
        if _manifest(registry, plan) is None:
            work = partial(_build, client, registry, plan, tell)
            jobs[plan.local] = abreast.Job(work, [parent.local for parent in plan.parents])
        else:
            jobs[plan.local] = abreast.Job(partial(fetch, client, registry, plan, [plan.local]))
    try:
        abreast.run(jobs)
    finally:
        _clear(client)


def _with_parents(wanted: Iterable[Plan]) -> list[Plan]:
    found: dict[str, Plan] = {}
    for plan in wanted:
        for one in (*_with_parents(plan.parents), plan):
            found[one.local] = one
    return list(found.values())


def _build(client: DockerClient, registry: Registry, plan: Plan, tell: Tell) -> None:
    began = time.monotonic()
    build(client, plan.sources | parts.made(plan.sources), plan.local, {})
    with tempfile.TemporaryFile() as archive:
        for chunk in client.images.get(plan.local).save():
            archive.write(chunk)
        archive.seek(0)
        registry.tag(plan.repository, plan.mark, registry.upload(plan.repository, archive))
    seconds = time.monotonic() - began
    what = f"{'the stand-in for ' if plan.stands_in else ''}{plan.image.references[0]}"
    tell(f"built {what} in {seconds:.0f} s")


def _clear(client: DockerClient) -> None:
    """Take from the engine what is in the registry now, and what the builds left half-way."""
    for image in client.images.list(name=f"{LOCAL}/*"):
        for tag in image.tags:
            # One that another build still uses goes with the next time.
            with contextlib.suppress(APIError):
                client.images.remove(tag)
    label = "".join(f"{key}={value}" for key, value in STAND_IN.items())
    with contextlib.suppress(APIError):
        client.images.prune(filters={"dangling": True, "label": label})


def _manifest(registry: Registry, plan: Plan) -> bytes | None:
    return registry.manifest(plan.repository, plan.mark)


def _kept(registry: Registry, plan: Plan) -> bytes:
    manifest = _manifest(registry, plan)
    if manifest is None:
        raise ControllerError(f"The registry lost the stand-in for {plan.image.name}.")
    return manifest
