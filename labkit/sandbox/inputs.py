"""The roles' inputs that a box forces upon a class."""

from collections.abc import Callable, Iterable
from typing import Any

from labkit.sandbox import box

# By role, then by input, as the class folder has them.
Inputs = dict[str, dict[str, Any]]


def engine(found: box.Box, tell: Callable[[str], None]) -> Inputs:
    """Return where the machines get their engine, unless it is from where they do by themselves."""
    if found.reaches_docker_repository:
        return {}
    tell("Docker's repository cannot be reached: the engine comes from the distribution")
    return {"docker_engine": {"docker_engine_source": "distribution"}}


def add_mirror(forced: Inputs, registry: str) -> None:
    """Have the machines' engines ask a registry at "address:port" before Docker Hub."""
    mirror = {"docker_engine_daemon": {"registry-mirrors": [f"http://{registry}"]}}
    forced.setdefault("docker_engine", {}).update(mirror)


def depot(registry: str, npm: str) -> Inputs:
    """Return what a depot asks instead of Docker Hub ("address:port", if so) and of npm's own."""
    of_depot: dict[str, Any] = {}
    if registry:
        of_depot["depot_upstreams"] = {"docker.io": f"http://{registry}"}
    if npm:
        of_depot["depot_npm_upstream"] = npm
    return {"depot": of_depot} if of_depot else {}


def tell_of_stand_ins(registry: str, names: Iterable[str], tell: Callable[[str], None]) -> None:
    """Say for which images there are stand-ins, and why."""
    asked = box.stand_ins_are_asked_for()
    why = "Stand-ins are asked for" if asked else "Docker Hub cannot be reached"
    tell(f"{why}: a registry at {registry} serves stand-ins for {', '.join(names)}")
