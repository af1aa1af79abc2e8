"""One machine as the rehearsal reaches it: as root, and at the attendee's terminals."""

import io
import json
import shlex
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from labkit.checks.line import SUDO_WITH_PASSWORD, Line
from labkit.classroom import Machine
from labkit.rehearsal.leash import Leash
from labkit.rehearsal.terminal import Terminal
from labkit.ssh import PASSWORD_ONLY, askpass, command

PATIENCE_TO_KEEP = 600
PATIENCE_TO_WRITE = 30
# ssh asks for a terminal there, has none here, and takes no line for a command to itself.
AT_A_TERMINAL = ("-tt", "-e", "none")
QUESTION = "labkit-sudo:"
CARRY_OUT = (
    'cd "$(mktemp -d)" && tar -x && python3 -m labkit.rehearsal.keeper {arguments}; '
    'code=$?; cd /; rm -rf "$OLDPWD"; exit $code'
)


class NotKept(Exception):
    """The keeper could not do its work; the text is what it said."""


class Reach:
    """
    A machine in the rehearsal's reach, once it is opened and until it is closed.

    `password` is the attendee's, None where labkit does not know how he logs in: then root
    opens his login shell for him. `lost` says why nothing more can be done there, if so.
    """

    def __init__(
        self,
        machine: Machine,
        password: str | None,
        directory: Path,
        held: Leash,
    ) -> None:
        self.machine, self.name = machine, machine.name
        self.attendee = str(machine.inputs["attendee_name"])
        self.mesh = False
        self.lost = ""
        self._password, self._directory, self._held = password, directory, held
        self._opened = ExitStack()

    def open(self) -> None:
        """Connect to the machine; raises what `labkit.checks.line.Line` raises."""
        with ExitStack() as opening:
            place = Path(
                opening.enter_context(tempfile.TemporaryDirectory(prefix="", dir=self._directory))
            )
            connection = self.machine.connection
            environment = opening.enter_context(askpass(connection.password, place))
            self._line = Line(connection, place / "line", environment)
            opening.callback(self._line.close)
            self._login = opening.enter_context(askpass(self._password, place))
            self._opened = opening.pop_all()

    def close(self) -> None:
        """End the connection, and with it all that is asked over it."""
        self._opened.close()

    def keep(self, verb: str, **options: object) -> Mapping[str, Any]:
        """
        Have the keeper do something on the machine; see `labkit.rehearsal.keeper`.

        Raises:
            Unreachable, NoAnswer: The machine is gone, or keeps us waiting.
            NotKept: It could not.
        """
        arguments = f"{verb} {shlex.quote(json.dumps(options))}"
        line = self._line.as_root(CARRY_OUT.format(arguments=arguments))
        done = self._line.ask(line, _keeper(), PATIENCE_TO_KEEP)
        try:
            said: dict[str, Any] = json.loads(done.stdout.decode(errors="replace"))
        except ValueError:
            raise NotKept(done.stderr.decode(errors="replace").strip()[-500:]) from None
        if "error" in said:
            raise NotKept(said["error"])
        return said

    def write(self, file: str, content: str) -> str:
        """Write a file below the attendee's home, as the attendee; return what went wrong."""
        login = f"exec runuser -l {shlex.quote(self.attendee)} -c "
        line = self._line.as_root(login + shlex.quote(f"cat > {shlex.quote(file)}"))
        done = self._line.ask(line, content.encode(), PATIENCE_TO_WRITE)
        return done.stderr.decode(errors="replace").strip() if done.returncode else ""

    def answers(self) -> None:
        """Raise Unreachable if the machine is gone, and not only a terminal on it."""
        self._line.ask("true")

    def terminal(self) -> Terminal:
        """
        Return a new terminal of the attendee's, in his login shell.

        Raises:
            TooLong, Gone, Stopped: There is none; see `labkit.rehearsal.terminal`.
        """
        if self._password is not None:
            first = (*PASSWORD_ONLY, *AT_A_TERMINAL)
            # Nothing to carry out: so it is a login shell.
            argv = command(self.machine.connection, "", user=self.attendee, first=first)
            return Terminal(argv, self._login, self._held)
        become = self._line.as_root(f"exec runuser -l {shlex.quote(self.attendee)}")
        asked = become.replace(SUDO_WITH_PASSWORD, f"sudo -k -p {QUESTION} -- ")
        secret = self.machine.connection.become_password or ""
        answers = {QUESTION: secret} if asked != become else {}
        argv = self._line.shared(asked, AT_A_TERMINAL)
        return Terminal(argv, self._login, self._held, answers)


def _keeper() -> bytes:
    """Return the keeper's package as an archive, and nothing else of labkit."""
    packed = io.BytesIO()
    here = Path(__file__).parent / "keeper"
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for package in ("labkit", "labkit/rehearsal"):
            archive.addfile(tarfile.TarInfo(f"{package}/__init__.py"))
        for file in here.glob("*.py"):
            archive.add(file, f"labkit/rehearsal/keeper/{file.name}")
    return packed.getvalue()
