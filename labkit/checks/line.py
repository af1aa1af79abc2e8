"""One SSH connection to a machine, shared by everything that is asked there."""

import select
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.checks.shell import Ended, Late, Shell
from labkit.ssh import Connection, command

# ssh's own limits (ConnectTimeout, keep-alives) end most waits earlier and say why; this
# one is for a machine that lets us in and then says nothing.
PATIENCE_TO_CONNECT = 30
PATIENCE_TO_ANSWER = 60
GREETING = "labkit-line "


class Unreachable(Exception):
    """The machine does not answer any more; the text is what ssh said."""


class NoRoot(Exception):
    """The login works, but it may not become root; the text is what sudo said."""


class NoAnswer(AssertionError):
    """One command took longer than the limit, while the connection lives."""


class Line:
    """
    An open connection; ends with the process that opened it, however that one ends.

    The connection's master runs in the foreground and reads from a pipe of ours instead of
    living on in the background: no ssh outlives a killed check, and none of Ansible's
    connections, with the groups of an older login, is used.
    """

    def __init__(
        self, connection: Connection, socket: Path, environment: Mapping[str, str]
    ) -> None:
        self._connection = connection
        self._socket = socket
        self._environment = environment
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        self._shell: Shell | None = None
        self._master = self._open()
        self._sudo = "" if self._greeting() == 0 else self._find_sudo()

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._master.poll() is None

    def as_root(self, line: str) -> str:
        """Return the line for the login shell that runs a line of sh as root."""
        return f"{self._sudo}sh -c {shlex.quote(line)}"

    def ask_root(
        self,
        line: str,
        stdin: bytes = b"",
        limit: float = PATIENCE_TO_ANSWER,
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Return what root was answered to a line of sh.

        Raises:
            Unreachable: The connection is gone.
            NoAnswer: The line was still running after `limit` seconds.
        """
        if stdin:
            return self.ask(self.as_root(line), stdin, limit)
        try:
            shell = self._shell = self._shell or self._open_shell()
            return shell.ask(line, limit)
        except (Ended, Late) as error:
            if self._shell:
                self._shell.close()
                self._shell = None
            if isinstance(error, Ended) and self._ended():
                raise Unreachable(self._said()) from None
            said = f"within {limit:g} s" if isinstance(error, Late) else "before the shell ended"
            raise NoAnswer(f"no answer {said}") from None

    def ask(
        self,
        remote: str,
        stdin: bytes = b"",
        limit: float = PATIENCE_TO_ANSWER,
    ) -> subprocess.CompletedProcess[bytes]:
        """
        Return what the remote line answered.

        Raises:
            Unreachable: The connection is gone.
            NoAnswer: The line was still running after `limit` seconds.
        """
        if not self.alive:
            raise Unreachable(self._said())
        try:
            answer = subprocess.run(
                self.shared(remote),
                input=self._secret() + stdin if remote.startswith(SUDO_WITH_PASSWORD) else stdin,
                capture_output=True,
                env=dict(self._environment),
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise NoAnswer(f"no answer within {limit:g} s") from None
        if answer.returncode == SSH_FAILED and self._ended():
            raise Unreachable(self._said() or answer.stderr.decode(errors="replace"))
        return answer

    def shared(self, remote: str, first: Sequence[str] = ()) -> list[str]:
        """Return the arguments of an ssh of one's own over this connection."""
        return command(self._connection, remote, first=(*first, *self._sharing("no")))

    def close(self) -> None:
        """End the connection."""
        if self._shell:
            self._shell.close()
        self._master.terminate()
        self._master.wait()
        self._errors.close()

    def _sharing(self, master: str) -> tuple[str, ...]:
        return (
            *("-o", f"ControlMaster={master}"),
            *("-o", f'ControlPath="{self._socket}"'),
            *("-o", "ControlPersist=no"),
        )

    def _open(self) -> subprocess.Popen[bytes]:
        greet = f"sh -c 'echo {GREETING}$(id -u); exec cat >/dev/null'"
        return subprocess.Popen(
            command(self._connection, greet, first=self._sharing("yes")),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=dict(self._environment),
            bufsize=0,
        )

    def _open_shell(self) -> Shell:
        def opening() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                command(self._connection, self.as_root("exec sh"), first=self._sharing("no")),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=dict(self._environment),
                bufsize=0,
            )

        shell = Shell(opening, self._secret() if self._sudo == SUDO_WITH_PASSWORD else b"")
        shell.await_ready(PATIENCE_TO_CONNECT)
        return shell

    def _greeting(self) -> int:
        """Return the user id that we are on the machine, once the connection stands."""
        assert self._master.stdout
        end = time.monotonic() + PATIENCE_TO_CONNECT
        while select.select([self._master.stdout], [], [], max(0, end - time.monotonic()))[0]:
            # A login script may have said something first.
            line = self._master.stdout.readline().decode(errors="replace")
            if line.startswith(GREETING):
                return int(line.removeprefix(GREETING))
            if not line:
                self._ended()
                raise Unreachable(self._said())
        self._master.kill()
        raise Unreachable(f"no answer within {PATIENCE_TO_CONNECT} s\n{self._said()}")

    def _find_sudo(self) -> str:
        free = self.ask(f"{SUDO_FREE}true")
        if free.returncode == 0:
            return SUDO_FREE
        paid = self._connection.become_password and self.ask(f"{SUDO_WITH_PASSWORD}true")
        if paid and paid.returncode == 0:
            return SUDO_WITH_PASSWORD
        raise NoRoot((paid or free).stderr.decode(errors="replace").strip())

    def _secret(self) -> bytes:
        return f"{self._connection.become_password}\n".encode()

    def _ended(self) -> bool:
        try:
            self._master.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()


SSH_FAILED = 255
# -k: a password that sudo remembers would leave ours unread, for the command to read.
SUDO_FREE = "sudo -n -k -- "
SUDO_WITH_PASSWORD = "sudo -S -k -p '' -- "  # noqa: S105 - no password, but where it goes
