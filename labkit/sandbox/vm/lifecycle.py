"""The three verbs of a sandbox whose machines are virtual: up, status, down."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from labkit.errors import BadInput
from labkit.hostkeys import known_name
from labkit.sandbox import abreast, apt, box, classfolder, plan, registry, standins
from labkit.sandbox.states import VIRTUAL, MachineStatus, Status
from labkit.sandbox.upload import Registry
from labkit.sandbox.vm import image, inputs, machines, place, process, warm, wiring
from labkit.sandbox.vm.place import Machine, Sandbox
from labkit.sandbox.vm.wiring import LOOPBACK, SSH

Tell = Callable[[str], None]


def up(
    directory: Path, *, seats: int, machines_per_seat: int, release: str | None = None, tell: Tell
) -> None:
    """
    Make a class of bare virtual machines and its folder, or what is missing of them.

    Raises:
        BadInput: The counts or the directory will not do; nothing was touched.
        ControllerError: The box lacks something; `up` again goes on, `down` clears away.
    """
    planned = plan.machines(seats, machines_per_seat)
    classfolder.check(directory)
    name = plan.sandbox_id(directory)
    there = place.read(name)
    if there:
        _refuse_other(there, planned, release)
        _refuse_torn(there)
    image.require_tools(image.RUNNING)
    found = box.look()
    sandbox = _settle(name, there, planned, release or apt.RELEASE, tell)
    made = place.machines(sandbox)
    public_key = classfolder.write_class(directory, [host(machine) for machine in made])
    forced = inputs.forced(found, sandbox, tell)
    classfolder.write_inputs(directory, forced, tell)
    _raise_up(made, public_key, tell)
    keys = {
        known_name(LOOPBACK, machine.forwards[SSH]): machines.host_keys(machine) for machine in made
    }
    classfolder.write_known_hosts(directory, keys)


def status(directory: Path) -> Status:
    """Say what is there of the directory's sandbox; nothing there is an answer too."""
    name = plan.sandbox_id(directory)
    sandbox = place.read(name)
    serving = registry.find_registry(name)
    served = bool(serving) and standins.are_served(Registry(serving), inputs.SWARM_IMAGES)
    return Status(
        backend=VIRTUAL,
        # Of the box's; these machines need none.
        engine_reachable=True,
        machines=tuple(_told(machine) for machine in place.machines(sandbox)) if sandbox else (),
        registry=serving,
        stand_ins=served,
        runs_on=sandbox.made_of.accelerator if sandbox else "",
    )


def down(directory: Path, tell: Tell) -> None:
    """Remove the directory's sandbox, whole or half-made; the images stay for the next one."""
    name = plan.sandbox_id(directory)
    if registry.stop_registry(name):
        tell("stopped the registry")
    sandbox = place.read(name)
    removed = [machines.remove(machine) for machine in place.machines(sandbox)] if sandbox else []
    place.forget(name)
    warm.sweep()
    classfolder.remove(directory)
    tell(f"removed the virtual machines ({sum(removed)}) and their class")


def _refuse_other(there: Sandbox, planned: list[plan.PlannedMachine], release: str | None) -> None:
    wanted = {machine.name for machine in planned}
    surplus = [machine.name for machine in there.machines if machine.name not in wanted]
    if surplus:
        raise BadInput(
            f"The sandbox has more machines than that: {', '.join(surplus)}.",
            hint="Run `labkit sandbox down` first, or ask for as many.",
        )
    if release not in {None, there.release}:
        raise BadInput(
            f"The sandbox's machines are Debian {there.release}.",
            hint="Run `labkit sandbox down` first, or leave --release out.",
        )


def _refuse_torn(there: Sandbox) -> None:
    made = any(machine.born for machine in place.machines(there))
    if made and not (state := _state_of(there)).exists():
        raise BadInput(
            f"What the sandbox's disks build upon is gone: {state.parent}.",
            hint="Run `labkit sandbox down` first: another image below them would damage them.",
        )


def _settle(
    name: str, there: Sandbox | None, planned: list[plan.PlannedMachine], release: str, tell: Tell
) -> Sandbox:
    """Return what the machines are made of, written down; what there is already stays."""
    if there and _state_of(there).exists():
        sandbox = replace(there, machines=tuple(planned))
    else:
        base = image.ensure_image(there.release if there else release, tell)
        state, made_of = warm.ensure_warm(base, tell)
        sandbox = Sandbox(
            name=name,
            release=there.release if there else release,
            image=base.name,
            warm=state.name,
            made_of=made_of,
            network=str(next(plan.free_networks(name, ()))),
            first_port=there.first_port if there else _first_port(name, planned),
            machines=tuple(planned),
        )
    place.write(sandbox)
    return sandbox


def _state_of(sandbox: Sandbox) -> Path:
    return place.images() / sandbox.image / sandbox.warm / warm.STATE


def _first_port(name: str, planned: list[plan.PlannedMachine]) -> int:
    taken = {one.first_port for one in place.all_sandboxes()}
    return wiring.first_port(name, planned, taken)


def host(machine: Machine) -> classfolder.Host:
    """Return what the inventory says of a machine."""
    forwarded = {port: there for port, there in machine.forwards.items() if port != SSH}
    variables = {
        "ansible_port": machine.forwards[SSH],
        "seat_address": machine.address,
        "verify_forwards": forwarded,
    }
    return machine.name, machine.planned.seat, LOOPBACK, variables


def _raise_up(made: list[Machine], public_key: str, tell: Tell) -> None:
    began = time.monotonic()
    lan = IPv4Network(made[0].sandbox.network)
    tell(f"starting the virtual machines, whose own LAN is {lan}: {len(made)}")
    work = {
        machine.name: abreast.Job(partial(machines.ensure_machine, machine, public_key))
        for machine in made
    }
    abreast.run(work)
    tell(f"every machine is up after {time.monotonic() - began:.0f} s")


def _told(machine: Machine) -> MachineStatus:
    state = process.state(machine.folder)
    return MachineStatus(
        name=machine.name,
        seat=machine.planned.seat,
        address=machine.address,
        state=state,
        system=warm.system_state(machine.folder) if state == process.RUNNING else "",
        ports=machine.forwards,
    )
