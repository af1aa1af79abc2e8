"""The three verbs of a sandbox whose machines are containers: up, status, down."""

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from docker import DockerClient

from labkit.errors import BadInput, ControllerError
from labkit.sandbox import (
    apt,
    bakery,
    boot,
    box,
    classfolder,
    clients,
    engine,
    image,
    inputs,
    machines,
    network,
    plan,
    recipe,
    registry,
    standins,
)
from labkit.sandbox.states import CONTAINERS, MachineStatus, Status
from labkit.sandbox.upload import Registry

Tell = Callable[[str], None]


def up(  # noqa: PLR0913 - each is an option of the command line
    directory: Path,
    *,
    seats: int,
    machines_per_seat: int,
    release: str | None = None,
    depot: bool = False,
    tell: Tell,
) -> None:
    """
    Make a class of bare machines and its folder, or what is missing of them.

    The release is Debian's name for it; machines that are there keep the one they have, and a
    depot that is there stays.

    Raises:
        BadInput: The counts or the directory will not do; nothing was touched.
        ControllerError: The box lacks something; `up` again goes on, `down` clears away.
    """
    planned = plan.machines(seats, machines_per_seat)
    classfolder.check(directory)
    client = engine.connect()
    sandbox = plan.sandbox_id(directory)
    present = machines.find(client, sandbox)
    depot = depot or any(one.name == plan.DEPOT for one in present)
    _refuse_to_shrink(present, planned)
    release = _release(present, release)
    found = box.look()
    tag = image.ensure_image(client, release, reaches_hub=found.reaches_hub, tell=tell)
    subnet = network.ensure_network(client, sandbox)
    public_key = classfolder.write_class(
        directory,
        [(one.name, one.seat, one.address(subnet), {}) for one in planned],
        plan.depot().address(subnet) if depot else "",
    )
    forced = _inputs_for(client, found, sandbox, subnet, tell)
    classfolder.write_inputs(directory, forced, tell)
    if depot:
        of_depot = inputs.depot(registry.find_registry(sandbox), clients.npm_registry())
        classfolder.write_inputs(directory, of_depot, tell, group=plan.DEPOT)
        planned = [*planned, plan.depot()]
    tell(f"starting the machines in {subnet}: {len(planned)}")
    if machines.raise_inotify_limit(len(planned)):
        tell("raised this box's limit fs.inotify.max_user_instances for so many machines")
    shared = recipe.make_recipe(client, tag, subnet, public_key)
    for machine in planned:
        machines.ensure_machine(client, sandbox, machine, shared)
    boot.wait(lambda: machines.find(client, sandbox), tell)
    keys = {one.address: boot.host_keys(one) for one in machines.find(client, sandbox)}
    classfolder.write_known_hosts(directory, keys)


def status(directory: Path) -> Status:
    """Say what is there of the directory's sandbox; nothing there is an answer too."""
    sandbox = plan.sandbox_id(directory)
    serving = registry.find_registry(sandbox)
    served = bool(serving) and standins.are_served(Registry(serving))
    try:
        client = engine.connect()
    except ControllerError:
        return Status(
            backend=CONTAINERS,
            engine_reachable=False,
            machines=(),
            registry=serving,
            stand_ins=served,
        )
    return Status(
        backend=CONTAINERS,
        engine_reachable=True,
        machines=tuple(
            MachineStatus(one.name, one.seat, one.address, one.state, boot.system_state(one))
            for one in machines.find(client, sandbox)
        ),
        registry=serving,
        stand_ins=served,
    )


def down(directory: Path, tell: Tell) -> None:
    """
    Remove the directory's sandbox, whole or half-made; the images stay for the next one.

    Raises:
        ControllerError: No engine answers, or it refused to let something go.
    """
    sandbox = plan.sandbox_id(directory)
    if registry.stop_registry(sandbox):
        tell("stopped the registry")
    client = engine.connect()
    removed = 0
    # Asked again: the engine may still be at what an `up` wanted that was killed.
    while present := machines.find(client, sandbox):
        machines.remove(present)
        removed += len(present)
    network.remove_network(client, sandbox)
    classfolder.remove(directory)
    tell(f"removed the machines ({removed}), their network and their class")


def _refuse_to_shrink(present: list[machines.Found], planned: list[plan.PlannedMachine]) -> None:
    wanted = {machine.name for machine in planned} | {plan.DEPOT}
    surplus = [machine.name for machine in present if machine.name not in wanted]
    if surplus:
        raise BadInput(
            f"The sandbox has more machines than that: {', '.join(surplus)}.",
            hint="Run `labkit sandbox down` first, or ask for as many.",
        )


def _release(present: list[machines.Found], wanted: str | None) -> str:
    there = present[0].release if present else ""
    if there and wanted not in {None, there}:
        raise BadInput(
            f"The sandbox's machines are Debian {there}.",
            hint="Run `labkit sandbox down` first, or leave --release out.",
        )
    return wanted or there or apt.RELEASE


def _inputs_for(
    client: DockerClient, found: box.Box, sandbox: str, subnet: IPv4Network, tell: Tell
) -> dict[str, dict[str, Any]]:
    """Return the roles' inputs that this box forces; start what they refer to."""
    forced = inputs.engine(found, tell)
    if not found.reaches_hub:
        serving = registry.ensure_registry(sandbox, plan.gateway(subnet))
        bakery.ensure_stand_ins(client, Registry(serving), tell)
        names = dict.fromkeys(one.name for one in standins.STAND_INS)
        inputs.tell_of_stand_ins(serving, names, tell)
        inputs.add_mirror(forced, serving)
    if not found.has_ipvs:
        tell("this kernel has no IPVS: no routing mesh on these machines")
        forced["swarm_node"] = {"swarm_node_mesh": False}
    return forced
