"""Ports for one suite."""

import random
import socket

from deploy.local.plan import HOST, METRICS_PORT_OFFSET, SERVICES

# Below what the system takes for outgoing connections: nobody else gets the port of a service that was killed.
FIRST, LAST = 15_000, 30_000


def free_ports() -> dict[str, int]:
    """Ports whose metrics port is free too."""
    ports: dict[str, int] = {}
    while len(ports) < len(SERVICES):
        port = random.randint(FIRST, LAST)  # noqa: S311 - guards nothing
        if port not in ports.values() and _free(port) and _free(port + METRICS_PORT_OFFSET):
            ports[SERVICES[len(ports)]] = port
    return ports


def _free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
