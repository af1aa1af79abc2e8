"""One question to the depot, asked as root over SSH, or here where the depot is this box."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.classroom import Depot
from labkit.errors import LabkitError
from labkit.seat.post import ALONE, opening
from labkit.ssh import askpass, command

SECONDS_TO_ANSWER = 120


def ask(depot: Depot, program: Path, question: Mapping[str, Any], directory: Path) -> Any:
    """
    Return what a program of ours says, run on the depot as root and told one line of JSON.

    Raises:
        LabkitError: The depot does not answer, or not as it should.
    """
    connection = depot.machine.connection
    secret = connection.become_password
    line = opening(paid=secret is not None)
    argv = ["sh", "-c", line] if depot.local else command(connection, line, first=ALONE)
    text = program.read_bytes()
    first = b"" if secret is None else f"{secret}\n".encode()
    stdin = first + f"{len(text)}\n".encode() + text + json.dumps(dict(question)).encode() + b"\n"
    name = depot.machine.name
    try:
        with askpass(None if depot.local else connection.password, directory) as environment:
            done = subprocess.run(
                argv,
                input=stdin,
                env=environment,
                capture_output=True,
                timeout=SECONDS_TO_ANSWER,
                check=False,
            )
        return json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise LabkitError(
            f"the depot {name} said nothing for {SECONDS_TO_ANSWER} s", "look whether it is well"
        ) from None
    except ValueError:
        lines = done.stderr.decode(errors="replace").strip().splitlines()[-3:]
        raise LabkitError(
            f"the depot {name} does not answer: {' '.join(lines) or 'no answer'}",
            "see whether `ssh` and `sudo` get in there as the inventory says",
        ) from None
