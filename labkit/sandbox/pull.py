"""Gives the box's own engine stand-ins under Docker Hub's names, as a pull would the real ones."""

import contextlib
from collections.abc import Callable, Collection
from functools import partial
from ipaddress import IPv4Address

from docker import DockerClient
from docker.errors import ImageNotFound

from labkit.sandbox import bakery, box, engine, registry, turn
from labkit.sandbox.build import STAND_IN
from labkit.sandbox.standins import plans
from labkit.sandbox.upload import Registry

# It serves only us, and only while we need it.
_REGISTRY = "pull"
_LOOPBACK = IPv4Address("127.0.0.1")


def pull(names: Collection[str], tell: Callable[[str], None]) -> None:
    """
    Have the named stand-ins (`mongo`, or `mongo:7.0.43`) on the box's engine, built if need be.

    Where Docker Hub can be reached it gives none, and takes away those that were given before.

    Raises:
        BadInput: There is no such stand-in.
        ControllerError: No engine answers, a tool is missing, or a build failed.
    """
    client = engine.connect()
    if box.reaches_hub():
        _forget(client, names, tell)
        return
    with turn.taken(_REGISTRY, partial(tell, "waiting for another one who pulls stand-ins")):
        store = Registry(registry.ensure_registry(_REGISTRY, _LOOPBACK))
        try:
            for plan in bakery.ensure_stand_ins(client, store, tell, names):
                bakery.fetch(client, store, plan, plan.image.references)
                tell(f"this engine has a stand-in for {' and '.join(plan.image.references)}")
        finally:
            registry.stop_registry(_REGISTRY)


def _forget(client: DockerClient, names: Collection[str], tell: Callable[[str], None]) -> None:
    tell("Docker Hub can be reached: no stand-ins")
    for plan in plans(names):
        for reference in plan.image.references:
            with contextlib.suppress(ImageNotFound):
                if STAND_IN.items() <= client.images.get(reference).labels.items():
                    client.images.remove(reference)
