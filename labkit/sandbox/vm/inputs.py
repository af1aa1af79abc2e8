"""The roles' inputs that a box forces upon a class of virtual machines."""

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from typing import Any

import yaml

from labkit import paths
from labkit.sandbox import apps, bakery, engine, inputs, registry, standins
from labkit.sandbox.box import Box
from labkit.sandbox.inputs import Inputs
from labkit.sandbox.upload import Registry
from labkit.sandbox.vm.place import Sandbox
from labkit.sandbox.vm.wiring import BOX, LOOPBACK

# What the swarm chapter's stack runs, beside the to-do app: emulated machines carry no more.
SWARM_IMAGES = ("hello-world", "nginx", "mongo", "registry")

# As the swarm chapter's stack names it.
_SEATS_REGISTRY = "vm1:443"
_APP_MB = 250
# What MongoDB dies of on some kernels, after half a minute, its stand-in has not got.
_STAND_INS_SECONDS = 5


def forced(found: Box, sandbox: Sandbox, tell: Callable[[str], None]) -> Inputs:
    """
    Return what this box forces upon the class; start, and build, what it refers to.

    Raises:
        ControllerError: A tool is missing, or an image could not be built.
    """
    made = inputs.engine(found, tell)
    emulated = sandbox.made_of.emulated
    if found.reaches_hub and not emulated:
        return made
    # A machine finds the box's loopback at another address.
    serving = registry.ensure_registry(sandbox.name, IPv4Address(LOOPBACK))
    wanted = [] if found.reaches_hub else standins.plans(SWARM_IMAGES if emulated else ())
    app = [apps.plan_app(stand_ins=not found.reaches_hub)] if emulated else []
    bakery.ensure(engine.connect, Registry(serving), tell, [*wanted, *app])
    inputs.add_mirror(made, f"{BOX}:{serving.rpartition(':')[2]}")
    if wanted:
        inputs.tell_of_stand_ins(serving, dict.fromkeys(one.image.name for one in wanted), tell)
    if emulated:
        tell("emulated machines get the images of the swarm chapter alone, and build none")
        made["images"] = few_images(app[0].image.references[0])
        if wanted:
            made["images"]["images_database_seconds"] = _STAND_INS_SECONDS
    return made


def few_images(app: str) -> dict[str, Any]:
    """
    Return the inputs of the role images for machines on which a build would take minutes.

    The app's image is pulled, and has the name too that the attendee pushes it by.
    """
    text = (paths.content() / "roles" / "images" / "defaults" / "main.yml").read_text()
    defaults: Mapping[str, Any] = yaml.safe_load(text)
    pulled = [
        image
        for image in defaults["images_pull"]
        if image["reference"].partition(":")[0] in SWARM_IMAGES
    ]
    own = {"reference": app, "tags": [f"{_SEATS_REGISTRY}/{app}"], "disk_mb": _APP_MB}
    return {"images_pull": [*pulled, own], "images_build": []}
