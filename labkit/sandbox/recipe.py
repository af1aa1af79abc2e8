"""What makes a container a machine: the flags it is created with."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from docker import DockerClient

from labkit.sandbox import box, engine, plan

ACCOUNT = "instructor"
ACCOUNT_ID = 1000

# Debian 13's systemd accepts the old hierarchy only when it is told twice.
_CGROUP_V1 = "systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1"


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


def container_config(sandbox: str, machine: plan.PlannedMachine, recipe: Recipe) -> dict[str, Any]:
    """
    Return what the engine's own API wants to hear, since the SDK's words lack MaskedPaths.

    https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container
    """
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
