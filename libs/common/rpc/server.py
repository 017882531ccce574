"""The one way in which every service makes its gRPC server."""

import asyncio
import ipaddress
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]

from libs.common.observability.metrics import Metrics
from libs.common.rpc.chain import Chain
from libs.common.rpc.interceptors.access import Access
from libs.common.rpc.interceptors.deadline import Deadline
from libs.common.rpc.interceptors.drain import Drain
from libs.common.rpc.interceptors.errors import Errors
from libs.common.rpc.interceptors.log import Log
from libs.common.rpc.interceptors.measure import Measure
from libs.common.rpc.interceptors.request_id import RequestId
from libs.common.rpc.interceptors.shed import Shed
from libs.common.rpc.interceptors.validate import Validate
from libs.common.security.tokens import TokenVerifier
from libs.common.settings import CommonSettings

# Clients ask every half a minute whether a quiet connection is alive.
PING_INTERVAL_MILLISECONDS = 10_000
_DRAIN_MARGIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Servicer:
    """What implements one service of a contract, with the generated function that adds it."""

    add_to_server: Callable[[Any, grpc.aio.Server], None]
    implementation: object
    service: str
    """Full name, such as quietus.ingest.v1.IngestService."""


@dataclass(frozen=True, slots=True)
class ServerParts:
    name: str
    servicers: Sequence[Servicer]
    raw_methods: Collection[str] = ()
    """Paths whose messages the servicer reads itself, such as /quietus.ingest.v1.IngestService/StreamPredictions."""
    shares_port: bool = False
    """Several processes of the service serve on one port."""


class Server:
    """A server that starts NOT_SERVING and ends without cutting anybody off."""

    def __init__(self, server: grpc.aio.Server, address: str, services: Sequence[str], drains: asyncio.Event) -> None:
        self._server = server
        self._address = address
        self._services = ("", *services)
        self._drains = drains
        self._health = health.aio.HealthServicer()
        self._serving = self._ready = False
        self._able = True
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)

    def is_serving(self) -> bool:
        return self._serving

    async def start(self) -> int:
        """Listens and returns the port. OSError when the address can't be bound."""
        await self.set_serving(False)
        try:
            port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise OSError(f"can't listen on {self._address}; is the port in use?") from error
        await self._server.start()
        return port

    async def set_serving(self, serving: bool) -> None:
        """Says by the standard health protocol, for the server and each of its services, whether to send calls here."""
        self._ready = serving
        await self._tell_health()

    async def set_able(self, able: bool) -> None:
        """NOT_SERVING while something lacks that no call can do without, whatever else is said."""
        self._able = able
        await self._tell_health()

    async def _tell_health(self) -> None:
        self._serving = serving = self._ready and self._able
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._health.set(service, status)

    async def drain(self, grace_seconds: float) -> None:
        """Takes no new calls, asks long streams to end, and cancels what is left after the grace."""
        await self.set_serving(False)
        self._drains.set()
        await self._server.stop(grace_seconds)


def build_server(settings: CommonSettings, parts: ServerParts, verifier: TokenVerifier, metrics: Metrics) -> Server:
    """Puts the chain, health and reflection around the servicers. To be called in the running event loop."""
    drains = asyncio.Event()
    interceptors = (
        RequestId(),
        Log(),
        Measure(metrics),
        Errors(),
        Deadline(settings.default_deadline_seconds),
        Access(verifier),
        Drain(drains, settings.max_connection_age_seconds),
        Validate(),
        Shed(settings.max_concurrent_calls, settings.max_streams, metrics),
    )
    chain = Chain(interceptors, frozenset(parts.raw_methods))
    grpc_server = grpc.aio.server(interceptors=[chain], options=_options(settings, shares_port=parts.shares_port))
    for servicer in parts.servicers:
        servicer.add_to_server(servicer.implementation, grpc_server)
    services = [servicer.service for servicer in parts.servicers]
    server = Server(grpc_server, f"{settings.host}:{settings.port}", services, drains)
    if settings.reflection == "always" or (settings.reflection == "loopback" and _is_loopback(settings.host)):
        names = (*services, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, grpc_server)
    return server


def _options(settings: CommonSettings, *, shares_port: bool) -> list[tuple[str, int]]:
    most_calls = settings.max_concurrent_calls + settings.max_streams
    age_milliseconds = int(settings.max_connection_age_seconds * 1000)
    return [
        # A second process on the same port must fail, not take half of the calls, unless it is meant to.
        ("grpc.so_reuseport", int(shares_port)),
        # The default cancels calls from about 2,000 in flight on; shedding tells the caller why.
        ("grpc.server.max_pending_requests", most_calls),
        ("grpc.server.max_pending_requests_hard_limit", 2 * most_calls),
        ("grpc.max_receive_message_length", settings.max_receive_message_bytes),
        # Streams rebalance by ending at this age. One that began just before its connection's age gets as long again.
        ("grpc.max_connection_age_ms", age_milliseconds),
        ("grpc.max_connection_age_grace_ms", age_milliseconds + _DRAIN_MARGIN_SECONDS * 1000),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # By default a client that asks a third time within five minutes of silence is cut off: a watch, at night.
        ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MILLISECONDS),
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
