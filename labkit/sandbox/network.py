"""The sandbox's own network, whose gateway is the box."""

from ipaddress import IPv4Network, ip_network
from pathlib import Path

from docker import DockerClient
from docker.errors import APIError, NotFound
from docker.models.networks import Network
from docker.types import IPAMConfig, IPAMPool

from labkit.errors import ControllerError
from labkit.sandbox import plan

_ROUTES = Path("/proc/net/route")


def find_network(client: DockerClient, sandbox: str) -> IPv4Network | None:
    """Return the addresses of the sandbox's network, or None if it has none yet."""
    found = _find(client, sandbox)
    return _subnet(found.attrs) if found else None


def ensure_network(client: DockerClient, sandbox: str) -> IPv4Network:
    """
    Return the addresses of the sandbox's network, made where it is missing.

    Raises:
        ControllerError: The engine refused every network we could use.
    """
    present = find_network(client, sandbox)
    if present:
        return present
    for subnet in plan.free_networks(sandbox, _taken(client)):
        pool = IPAMPool(subnet=str(subnet), gateway=str(plan.gateway(subnet)))
        try:
            client.networks.create(
                plan.resource_name(sandbox),
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[pool]),
                labels=plan.labels(sandbox),
            )
        except APIError as error:
            # Another sandbox may have been quicker, or the engine may know a network we cannot see.
            if "overlap" in str(error):
                continue
            raise ControllerError(f"The engine made no network: {error.explanation}") from error
        return subnet
    raise ControllerError(f"No network of {plan.POOL} is free on this box.")


def remove_network(client: DockerClient, sandbox: str) -> None:
    """Remove the sandbox's network, if it has one."""
    network = _find(client, sandbox)
    if network is None:
        return
    network.reload()
    for endpoint in network.attrs.get("Containers") or {}:
        network.disconnect(endpoint, force=True)
    network.remove()


def _find(client: DockerClient, sandbox: str) -> Network | None:
    try:
        return client.networks.get(plan.resource_name(sandbox))
    except NotFound:
        return None


def _subnet(attributes: dict[str, object]) -> IPv4Network | None:
    ipam = attributes.get("IPAM")
    configs = (ipam.get("Config") if isinstance(ipam, dict) else None) or []
    subnets = [ip_network(config["Subnet"]) for config in configs if "Subnet" in config]
    return next((subnet for subnet in subnets if isinstance(subnet, IPv4Network)), None)


def _taken(client: DockerClient) -> list[IPv4Network]:
    subnets = [_subnet(network.attrs) for network in client.networks.list()]
    return [subnet for subnet in subnets if subnet] + read_routes(_ROUTES.read_text())


def read_routes(table: str) -> list[IPv4Network]:
    """Return the networks of a /proc/net/route table, without the default route."""
    routes = []
    for words in (line.split() for line in table.splitlines()[1:]):
        destination, mask = (
            int.from_bytes(bytes.fromhex(word), "little") for word in (words[1], words[7])
        )
        if mask:
            routes.append(IPv4Network((destination, mask.bit_count())))
    return routes
