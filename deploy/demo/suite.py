"""The suite that the demo talks to: one of its own, or one that runs already."""

import json
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from deploy.local.plan import HOST, METRICS_PORT_OFFSET, SERVICES, Plan, plan_from_environment
from deploy.local.supervisor import Supervisor
from libs.common.rpc.client import Metadata, bearer, channel
from quietus.identity.v1 import identity_pb2 as identity
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub


@dataclass(frozen=True)
class Suite:
    """Where the services are, and an operator's token."""

    addresses: Mapping[str, str]
    channels: Mapping[str, grpc.aio.Channel]
    operator: Metadata

    async def log_in(self, email: str, password: str) -> Metadata:
        request = identity.LogInRequest(email=email, password=password)
        response = await TokenServiceStub(self.channels["identity"]).LogIn(request, timeout=10)
        return bearer(response.token.access_token)


@asynccontextmanager
async def own_suite() -> AsyncIterator[Suite]:
    """Starts a suite on free ports in a folder that goes with it."""
    with tempfile.TemporaryDirectory(prefix="quietus-demo-") as folder:
        plan = Plan(Path(folder), free_ports())
        supervisor = Supervisor(plan)
        try:
            await supervisor.start()
            async with connected(plan) as suite:
                yield suite
        finally:
            await supervisor.stop()


@asynccontextmanager
async def running_suite() -> AsyncIterator[Suite]:
    """The suite that `make up` or compose started; the environment says where, as for `deploy.local`."""
    async with connected(plan_from_environment()) as suite:
        yield suite


@asynccontextmanager
async def connected(plan: Plan) -> AsyncIterator[Suite]:
    addresses = {s: os.environ.get(f"QUIETUS_{s.upper()}_ADDRESS", plan.address(s)) for s in SERVICES}
    async with AsyncExitStack() as stack:
        channels = {service: await stack.enter_async_context(channel(addresses[service])) for service in SERVICES}
        admin = json.loads((_secrets_dir(plan) / "admin.json").read_text())
        operator = await Suite(addresses, channels, ()).log_in(admin["email"], admin["password"])
        yield Suite(addresses, channels, operator)


def _secrets_dir(plan: Plan) -> Path:
    return Path(os.environ.get("QUIETUS_SECRETS_DIR", plan.secrets_dir))


def free_ports() -> dict[str, int]:
    """Ports whose metrics port is free too."""
    ports: dict[str, int] = {}
    while len(ports) < len(SERVICES):
        with socket.socket() as serving, socket.socket() as metrics:
            serving.bind((HOST, 0))
            port = serving.getsockname()[1]
            try:
                metrics.bind((HOST, port + METRICS_PORT_OFFSET))
            except (OSError, OverflowError):
                continue
            ports[SERVICES[len(ports)]] = port
    return ports
