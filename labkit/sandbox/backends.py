"""The verbs of a sandbox, whatever its machines are made of."""

from collections.abc import Callable
from pathlib import Path

from labkit.errors import BadInput
from labkit.sandbox import classfolder, lifecycle, plan
from labkit.sandbox.states import CONTAINERS, VIRTUAL, Status
from labkit.sandbox.vm import lifecycle as virtual
from labkit.sandbox.vm import place

Tell = Callable[[str], None]


def up(  # noqa: PLR0913 - each is an option of the command line
    directory: Path,
    *,
    seats: int,
    machines_per_seat: int,
    release: str | None = None,
    backend: str | None = None,
    depot: bool = False,
    tell: Tell,
) -> None:
    """
    Make a class of bare machines and its folder, or what is missing of them.

    The release is Debian's name for it. Machines that are there keep the one they have, and
    stay what they are made of: containers ("docker"), or virtual machines ("qemu"). `depot`
    adds a machine that can become the class's depot, which stays once it is there.

    Raises:
        BadInput: The counts or the directory will not do; nothing was touched.
        ControllerError: The box lacks something; `up` again goes on, `down` clears away.
    """
    there = _backend(directory)
    if there and backend not in {None, there}:
        raise BadInput(
            f"The sandbox's machines are of the kind {there}, not {backend}.",
            hint="Run `labkit sandbox down` first, or leave --backend out.",
        )
    if (there or backend) == VIRTUAL:
        if depot:
            raise BadInput(
                "A sandbox of virtual machines has no depot.",
                hint="Leave --depot out, or make the machines of containers.",
            )
        virtual.up(
            directory, seats=seats, machines_per_seat=machines_per_seat, release=release, tell=tell
        )
        return
    lifecycle.up(
        directory,
        seats=seats,
        machines_per_seat=machines_per_seat,
        release=release,
        depot=depot,
        tell=tell,
    )


def status(directory: Path) -> Status:
    """Say what is there of the directory's sandbox; nothing there is an answer too."""
    look = virtual.status if _backend(directory) == VIRTUAL else lifecycle.status
    return look(directory)


def down(directory: Path, tell: Tell) -> None:
    """
    Remove the directory's sandbox, whole or half-made; the images stay for the next one.

    Raises:
        ControllerError: Something refused to go.
    """
    remove = virtual.down if _backend(directory) == VIRTUAL else lifecycle.down
    remove(directory, tell)


def _backend(directory: Path) -> str | None:
    """Return what the directory's sandbox is made of, None where there is none yet."""
    if place.folder(plan.sandbox_id(directory)).exists():
        return VIRTUAL
    return CONTAINERS if classfolder.is_a_sandboxs(directory) else None
