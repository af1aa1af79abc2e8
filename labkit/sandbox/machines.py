"""The sandbox's machines: containers that boot systemd and are reached over SSH only."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from labkit.errors import ControllerError
from labkit.sandbox import box, engine, plan
from labkit.sandbox.build import pack

ACCOUNT = "instructor"
_ACCOUNT_ID = 1000

# Debian 13's systemd accepts the old hierarchy only when it is told twice.
_CGROUP_V1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"

# systemd and an engine need some ten inotify instances a machine; kernels allow 128 in all.
_INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_INSTANCES_PER_MACHINE = 32


@dataclass(frozen=True)
class Found:
    """One machine of a sandbox as the engine knows it; `state` is Docker's word for it."""

    name: str
    seat: str
    address: str
    state: str
    container: Container


def find(client: DockerClient, sandbox: str) -> list[Found]:
    """Return the sandbox's machines in the order of their names, running or not."""
    label = f"{plan.LABEL}={sandbox}"
    found = []
    for container in client.containers.list(
        all=True, filters={"label": label}, ignore_removed=True
    ):
        networks = container.attrs["NetworkSettings"]["Networks"]
        fixed = (networks.get(plan.resource_name(sandbox)) or {}).get("IPAMConfig") or {}
        found.append(
            Found(
                name=container.labels.get("labkit.machine", str(container.name)),
                seat=container.labels.get("labkit.seat", ""),
                address=fixed.get("IPv4Address", ""),
                state=container.status,
                container=container,
            )
        )
    return sorted(found, key=lambda machine: machine.name)


def ensure_machine(
    client: DockerClient, sandbox: str, machine: plan.PlannedMachine, recipe: "Recipe"
) -> None:
    """
    See to it that the machine is there, started, and accepts the sandbox's key.

    Raises:
        ControllerError: The engine refused it.
    """
    name = plan.resource_name(sandbox, machine.name)
    try:
        try:
            container = client.containers.get(name)
        except NotFound:
            made = client.api.create_container_from_config(
                _config(sandbox, machine, recipe), name=name
            )
            container = client.containers.get(made["Id"])
        files = {".ssh/authorized_keys": (recipe.public_key.encode(), 0o600)}
        container.put_archive(f"/home/{ACCOUNT}", pack(files, owner=_ACCOUNT_ID))
        container.start()
    except APIError as error:
        raise ControllerError(
            f"The engine could not start {machine.name}: {error.explanation}",
            hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
        ) from error


@dataclass(frozen=True)
class Recipe:
    """What all machines of a sandbox have in common."""

    image: str
    network: IPv4Network
    public_key: str
    cgroup_v2: bool
    resolver_settings: str


def make_recipe(client: DockerClient, image: str, network: IPv4Network, public_key: str) -> Recipe:
    """Return the recipe for machines on this box."""
    return Recipe(
        image, network, public_key, engine.uses_cgroup_v2(client), box.resolver_settings()
    )


def _config(sandbox: str, machine: plan.PlannedMachine, recipe: Recipe) -> dict[str, Any]:
    # In the words of the engine's own API, since the SDK's lack MaskedPaths:
    # https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container
    environment = [f"RESOLVER_SETTINGS={recipe.resolver_settings}"]
    if not recipe.cgroup_v2:
        environment.append(f"SYSTEMD_PROC_CMDLINE={_CGROUP_V1}")
    network = plan.resource_name(sandbox)
    address = {"IPAMConfig": {"IPv4Address": machine.address(recipe.network)}}
    own = {"labkit.machine": machine.name, "labkit.seat": machine.seat}
    return {
        "Image": recipe.image,
        "Labels": plan.labels(sandbox) | own,
        "Env": environment,
        # A nested engine's layers cannot lie on the container's own overlay.
        "Volumes": {"/var/lib/docker": {}, "/var/lib/containerd": {}},
        "HostConfig": _host_config(recipe) | {"NetworkMode": network},
        "NetworkingConfig": {"EndpointsConfig": {network: address}},
    }


def _host_config(recipe: Recipe) -> dict[str, Any]:
    scratch = "rw,exec,nosuid,nodev"
    return {
        # All that --privileged gives but one capability, which boxes that are
        # containers or small VMs themselves often cannot hand on.
        "CapAdd": ["ALL"],
        "CapDrop": ["SYS_RESOURCE"],
        "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
        "MaskedPaths": [],
        "ReadonlyPaths": [],
        "DeviceCgroupRules": ["a *:* rwm"],
        "CgroupnsMode": "private" if recipe.cgroup_v2 else "host",
        "Binds": [] if recipe.cgroup_v2 else ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
        "Tmpfs": {"/run": scratch, "/run/lock": scratch, "/tmp": f"{scratch},mode=1777"},  # noqa: S108
    }


def remove(machines: Iterable[Found]) -> None:
    """Remove the machines with their nested engines' volumes, several at a time."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(_remove_one, machines))


def _remove_one(machine: Found) -> None:
    try:
        machine.container.remove(force=True, v=True)
    except NotFound:
        return
    except DockerException as error:
        raise ControllerError(
            f"The engine could not remove {machine.name}: {error}",
            hint="Run `labkit sandbox down` again.",
        ) from error


def raise_inotify_limit(machines: int) -> bool:
    """Raise the box's limit of inotify instances if so many machines need it; say if it changed."""
    wanted = 128 + machines * _INSTANCES_PER_MACHINE
    try:
        if int(_INOTIFY_INSTANCES.read_text()) >= wanted or machines <= 3:  # noqa: PLR2004
            return False
        _INOTIFY_INSTANCES.write_text(f"{wanted}\n")
    except OSError:
        # Not ours to change here; a machine that cannot boot will say so.
        return False
    return True
