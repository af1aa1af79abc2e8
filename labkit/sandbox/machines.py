"""The sandbox's machines: containers that boot systemd and are reached over SSH only."""

import contextlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docker import DockerClient
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container

from labkit.errors import ControllerError
from labkit.sandbox import image, plan
from labkit.sandbox.build import pack
from labkit.sandbox.recipe import ACCOUNT, ACCOUNT_ID, Recipe, container_config

# systemd and an engine need some ten inotify instances a machine; kernels allow 128 in all.
_INOTIFY_INSTANCES = Path("/proc/sys/fs/inotify/max_user_instances")
_INSTANCES_PER_MACHINE = 32


@dataclass(frozen=True)
class Found:
    """One machine of a sandbox as the engine knows it; `state` is Docker's word for it."""

    name: str
    release: str
    seat: str
    address: str
    state: str
    container: Container

    def ask(self, *command: str) -> str:
        """Return what the command prints on the machine; empty where the machine does not run."""
        try:
            answer = self.container.exec_run(list(command)).output
        except APIError:
            return ""
        return answer.decode(errors="replace") if isinstance(answer, bytes) else ""


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
                release=container.labels.get(image.MARK, ""),
                seat=container.labels.get("labkit.seat", ""),
                address=fixed.get("IPv4Address", ""),
                state=container.status,
                container=container,
            )
        )
    return sorted(found, key=lambda machine: machine.name)


def ensure_machine(
    client: DockerClient, sandbox: str, machine: plan.PlannedMachine, recipe: Recipe
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
            _create(client, name, container_config(sandbox, machine, recipe))
            container = client.containers.get(name)
        files = {".ssh/authorized_keys": (recipe.public_key.encode(), 0o600)}
        container.put_archive(f"/home/{ACCOUNT}", pack(files, owner=ACCOUNT_ID))
        if container.status == "paused":
            container.unpause()
        container.start()
    except APIError as error:
        raise ControllerError(
            f"The engine could not start {machine.name}: {error.explanation}",
            hint="`labkit sandbox down` clears the sandbox away; then try `up` again.",
        ) from error


def _create(client: DockerClient, name: str, config: dict[str, Any]) -> None:
    try:
        client.api.create_container_from_config(config, name=name)  # type: ignore[no-untyped-call]
    except APIError as error:
        if "CapDrop" not in str(error):
            raise
        # A newer engine knows that the box has not got the capability, and refuses to drop it.
        without = config | {"HostConfig": config["HostConfig"] | {"CapDrop": []}}
        client.api.create_container_from_config(without, name=name)  # type: ignore[no-untyped-call]


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
    sweep_control_groups(str(machine.container.id))


def sweep_control_groups(container: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """
    Remove the empty groups that a removed machine left.

    On cgroup v1 its systemd makes groups below its own; while its last processes still die the
    engine cannot remove them, and does not try again.
    """
    for top in root.glob(f"*/docker/{container}"):
        for folder in [*sorted(top.rglob("*/"), reverse=True), top]:
            with contextlib.suppress(OSError):
                folder.rmdir()


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
