"""The machine that is being checked, as the checks see it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.ssh import Connection


@dataclass(frozen=True, slots=True)
class Mate:
    """
    A machine of the same seat, itself included; `number` counts from 1.

    `labels` are those that its node is to have, `hostname` is how a swarm calls it.
    """

    name: str
    address: str
    number: int
    hostname: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Mapping[str, Any], place: int) -> "Mate":
        """Return the machine that is described, the one at that place of its seat."""
        labels = {name: str(value) for name, value in (raw.get("labels") or {}).items()}
        number, hostname = raw.get("number", place), raw.get("hostname") or raw["name"]
        return cls(raw["name"], raw["address"], number, hostname, labels)


@dataclass(frozen=True, slots=True)
class Login:
    """What the attendee was handed out; no password where only keys open the machine."""

    user: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Machine:
    """
    One machine to be checked.

    `inputs` are all roles' effective inputs, `locked_versions` the class's versions of the
    engine's packages, where the class has chosen any, `authority` the certificate that its
    registries are trusted by, `directory` a private folder for what lasts only as long as the
    checks.
    """

    name: str
    seat: str
    number: int
    seat_machines: Sequence[Mate]
    connection: Connection
    directory: Path
    inputs: Mapping[str, Any] = field(default_factory=dict)
    login: Login | None = None
    locked_versions: Mapping[str, str] | None = None
    authority: str | None = None

    @classmethod
    def read(cls, raw: Mapping[str, Any], directory: Path) -> "Machine":
        """Return the machine that one line of the checking process's input describes."""
        return cls(
            name=raw["name"],
            seat=raw["seat"],
            number=raw["number"],
            seat_machines=[
                Mate.read(mate, place)
                for place, mate in enumerate(raw.get("seat_machines", ()), start=1)
            ],
            connection=Connection.read(raw["connection"]),
            directory=directory,
            inputs=raw.get("inputs") or {},
            login=Login(**raw["login"]) if raw.get("login") else None,
            locked_versions=raw.get("locked_versions"),
            authority=raw.get("authority"),
        )

    @property
    def attendee(self) -> str:
        """The attendee's account."""
        return self.login.user if self.login else str(self.inputs.get("attendee_name", "student"))

    @property
    def mates(self) -> list[Mate]:
        """The other machines of the seat."""
        return [mate for mate in self.seat_machines if mate.name != self.name]

    def repair(self, role: str) -> str:
        """Return what to type so that the role sets things right."""
        return f"run: labkit provision --limit {self.name} --tags {role}"
