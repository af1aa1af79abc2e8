"""The Docker engine of the box."""

import docker
from docker import DockerClient
from docker.errors import DockerException

from labkit.errors import ControllerError

# Removing a machine with a full nested engine can take the box's engine a while.
ANSWER_WITHIN = 180


def connect() -> DockerClient:
    """
    Return a client of the engine that DOCKER_HOST names, or of the box's own.

    Raises:
        ControllerError: No engine answers.
    """
    try:
        client = docker.from_env(timeout=ANSWER_WITHIN)
        client.ping()
    except DockerException as error:
        raise ControllerError(
            f"No Docker engine answers on this box ({_first_line(error)}).",
            hint="script/setup installs and starts one; as a user other than root you must also "
            "be in the group docker.",
        ) from error
    return client


def uses_cgroup_v2(client: DockerClient) -> bool:
    """Return whether the engine puts containers into the unified hierarchy."""
    return str(client.info().get("CgroupVersion", "1")) == "2"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
