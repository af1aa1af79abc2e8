"""What attendees open in the browsers of their own laptops."""

import http.client
import time

import pytest
from testinfra.host import Host

from labkit.checks.machine import Machine
from labkit.checks.promise import promise

# Of the class's images the one that serves a page, at its port 80.
SERVER = "nginx"
SECONDS_TO_ANSWER = 5.0


def server_of(machine: Machine) -> str | None:
    """Return the reference of the image that serves a page, None where the class has none."""
    names = [str(image["reference"]) for image in machine.inputs.get("images_pull") or []]
    return next((name for name in names if name.split("/")[-1].split(":")[0] == SERVER), None)


def seen_from_here(machine: Machine, port: int) -> int:
    """Return the port at which the machine's port is found, where it is forwarded."""
    forwards = machine.inputs.get("verify_forwards") or {}
    # Inputs come as JSON, whose keys are text.
    return int(forwards.get(str(port), port))


def answer(address: str, port: int) -> str:
    """Return why no page came from there within some seconds, "" if one did."""
    end = time.monotonic() + SECONDS_TO_ANSWER
    while True:
        connection = http.client.HTTPConnection(address, port, timeout=SECONDS_TO_ANSWER)
        try:
            connection.request("GET", "/")
            connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() > end:
                return str(error) or type(error).__name__
            time.sleep(0.2)
        else:
            return ""
        finally:
            connection.close()


def test_a_page_opens_from_here(host: Host, machine: Machine, port: int) -> None:
    image = server_of(machine)
    if image is None:
        pytest.skip(f"no {SERVER} among the class's images to serve one")
    here = seen_from_here(machine, port)
    started = ""
    if not host.run(f"ss -Hltn 'sport = :{port}'").stdout:
        run = "docker run --detach --rm --pull=never --label labkit.check"
        seen = host.run(f"{run} --publish {port}:80 %s", image)
        promise(
            seen.succeeded,
            expected=f"a container of {image} to publish port {port}",
            seen=seen.stderr,
            todo=machine.repair("images,docker_engine"),
        )
        started = seen.stdout.strip()
    try:
        wrong = answer(machine.connection.host, here)
    finally:
        if started:
            host.run(f"docker rm --force {started}")

    promise(
        not wrong,
        expected=f"http://{machine.connection.host}:{here}/ to answer this controller",
        seen=wrong,
        todo=f"open TCP port {port} in the machine's firewall and in the cloud's rules (security "
        "group); where no browser comes this way, set verify_ports: []",
    )
