"""Stand-ins for images of Docker Hub: which there are, and what each is built from."""

import hashlib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from labkit import paths
from labkit.errors import BadInput, ControllerError
from labkit.sandbox import parts
from labkit.sandbox.build import STAND_IN, pack
from labkit.sandbox.image import Files
from labkit.sandbox.upload import Registry


@dataclass(frozen=True)
class StandIn:
    """One image, pushed under all its tags, and the folder of its sources if not of its name."""

    name: str
    tags: tuple[str, ...]
    folder: str = ""

    @property
    def references(self) -> tuple[str, ...]:
        """Return what one types for it."""
        return tuple(f"{self.name}:{tag}" for tag in self.tags)


# The only list of them; each stands behind those that it is made from. Docker Hub has every tag.
# Where two were seen: registry in docker-library/official-images at 003e0d7, mongo in
# docker-library/mongo at 8d9ef3e.
STAND_INS = (
    StandIn("hello-world", ("latest",)),
    StandIn("debian", ("trixie-slim", "13-slim")),
    StandIn("alpine", ("3.23",)),
    StandIn("golang", ("1.26-alpine",)),
    StandIn("mongo", ("7.0.43",)),
    StandIn("node", ("24.19.0-slim",)),
    StandIn("node", ("24.19.0-alpine",), folder="node-alpine"),
    StandIn("ubuntu", ("24.04", "latest")),
    StandIn("nginx", ("1.30.4-alpine",)),
    StandIn("registry", ("3.1.2", "3")),
)

# Where they are on the box's engine, while there is work to do.
LOCAL = "labkit-stand-in"

_FROM = re.compile(r"^FROM (\S+)(.*)$", re.MULTILINE)
_LABELS = "".join(f"\nLABEL {key}={value}" for key, value in STAND_IN.items())


@dataclass(frozen=True, eq=False)
class Plan:
    """How one image is built, from which others."""

    image: StandIn
    sources: Files
    parents: tuple["Plan", ...]
    stands_in: bool = True

    @property
    def repository(self) -> str:
        """Return what Docker Hub calls its place."""
        return f"library/{self.image.name}"

    @cached_property
    def mark(self) -> str:
        """Return one more of its tags, which is another one whenever its sources are."""
        return f"source-{hashlib.sha256(pack(self.sources)).hexdigest()[:12]}"

    @property
    def local(self) -> str:
        """Return its name on the box's engine, where it must not pass for the real one."""
        return f"{LOCAL}/{self.image.folder or self.image.name}:{self.mark}"


def plans(wanted: Collection[str] = ()) -> list[Plan]:
    """
    Return how to build the wanted stand-ins (`node`, or `node:24.19.0-slim`), or all of them.

    Raises:
        BadInput: There is no such stand-in.
        ControllerError: This installation has no sources.
    """
    made: list[Plan] = []
    for image in STAND_INS:
        made.append(_plan(image, {name: plan for plan in made for name in plan.image.references}))
    known = [name for image in STAND_INS for name in (image.name, *image.references)]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        raise BadInput(
            f"There is no stand-in for {', '.join(unknown)}.",
            hint=f"There are: {', '.join(dict.fromkeys(known))}.",
        )
    return [
        plan
        for plan in made
        if not wanted or {plan.image.name, *plan.image.references} & set(wanted)
    ]


def _plan(image: StandIn, known: Mapping[str, Plan]) -> Plan:
    folder = paths.content() / "tests" / "images" / (image.folder or image.name)
    if not folder.is_dir():
        raise ControllerError(
            f"The stand-in for Docker Hub's {image.name} has no sources in this installation.",
            hint="Run labkit from a checkout of its repository.",
        )
    return plan_of(image, parts.sources(folder), known)


def plan_of(
    image: StandIn, sources: Files, known: Mapping[str, Plan], *, stands_in: bool = True
) -> Plan:
    """Return how to build an image of these sources, from those of the known ones that it names."""
    dockerfile = sources["Dockerfile"][0].decode()
    parents = {base: known[base] for base, _ in _FROM.findall(dockerfile) if base in known}

    def local(line: re.Match[str]) -> str:
        base = parents[line[1]].local if line[1] in parents else line[1]
        # In each stage, so that what is left of one can be told from others' images.
        return f"FROM {base}{line[2]}{_LABELS}"

    labelled = {**sources, "Dockerfile": (_FROM.sub(local, dockerfile).encode(), 0o644)}
    return Plan(image, labelled, tuple(dict.fromkeys(parents.values())), stands_in)


def are_served(registry: Registry, wanted: Collection[str] = ()) -> bool:
    """Return whether the registry has the wanted stand-ins, or every one."""
    return all(
        registry.manifest(f"library/{image.name}", tag) is not None
        for image in STAND_INS
        if not wanted or image.name in wanted
        for tag in image.tags
    )
