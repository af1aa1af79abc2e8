"""A plain registry on the sandbox's gateway address, for a box that cannot reach Docker Hub."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from ipaddress import IPv4Address
from pathlib import Path

from labkit.errors import ControllerError
from labkit.sandbox import cache
from labkit.sandbox.upload import Registry

PROGRAM = "docker-registry"
FIRST_PORT = 5000
_PORTS_TRIED = 50
_SECONDS_TO_START = 15
_SECONDS_TO_STOP = 5

# Forks away from us, so that it outlives labkit and is nobody's zombie.
_START = 'cd "$1"; docker-registry serve registry.json >registry.log 2>&1 & echo $! >registry.pid'


def ensure_registry(sandbox: str, gateway: IPv4Address) -> str:
    """
    Return the "address:port" of the sandbox's registry, started if it does not run.

    Raises:
        ControllerError: docker-registry is missing or does not start.
    """
    running = find_registry(sandbox)
    if running and running.startswith(f"{gateway}:"):
        return running
    stop_registry(sandbox)
    if shutil.which(PROGRAM) is None:
        raise ControllerError(
            "Docker Hub cannot be reached, and docker-registry, which would serve stand-ins for "
            "its images, is missing.",
            hint="script/setup installs it.",
        )
    address = f"{gateway}:{_free_port(str(gateway))}"
    home = cache.sandbox_folder(sandbox)
    home.mkdir(parents=True, exist_ok=True)
    cache.registry_data().mkdir(parents=True, exist_ok=True)
    # A registry reads YAML, and JSON is YAML.
    (home / "registry.json").write_text(json.dumps(_configuration(address)))
    subprocess.run(["sh", "-c", _START, "sh", str(home)], check=True, start_new_session=True)
    _await(address, home / "registry.log")
    return address


def find_registry(sandbox: str) -> str:
    """Return the "address:port" at which the sandbox's registry answers, or an empty text."""
    home = cache.sandbox_folder(sandbox)
    if not _pid(home):
        return ""
    configuration = json.loads((home / "registry.json").read_text())
    address = str(configuration["http"]["addr"])
    return address if Registry(address, seconds_to_answer=1).answers() else ""


def stop_registry(sandbox: str) -> bool:
    """Stop the sandbox's registry, remove its folder, and say whether it was running."""
    home = cache.sandbox_folder(sandbox)
    pid = _pid(home)
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while _pid(home):
        late = time.monotonic() > deadline
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        time.sleep(0.1)
    shutil.rmtree(home, ignore_errors=True)
    return pid > 0


def _configuration(address: str) -> dict[str, object]:
    return {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(cache.registry_data())}},
        "http": {"addr": address},
    }


def _pid(home: Path) -> int:
    # The number alone may be another process's by now: ours works in the sandbox's folder.
    try:
        pid = int((home / "registry.pid").read_text())
        ours = Path(f"/proc/{pid}/cwd").resolve(strict=True) == home.resolve()
    except (OSError, ValueError):
        return 0
    return pid if ours else 0


def _free_port(host: str) -> int:
    for port in range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise ControllerError(f"No port from {FIRST_PORT} on is free for a registry at {host}.")


def _await(address: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not Registry(address, seconds_to_answer=1).answers():
        if time.monotonic() > deadline:
            end = "\n".join(log.read_text().splitlines()[-4:])
            raise ControllerError(f"The registry at {address} does not answer:\n{end}")
        time.sleep(0.1)
