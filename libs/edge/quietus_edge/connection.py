"""Channels to the services, and the token that a device shows them."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import grpc

from quietus.identity.v1.identity_pb2 import AccessToken, ExchangeApiKeyRequest
from quietus.identity.v1.identity_pb2_grpc import KeyServiceStub, TokenServiceStub
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge.errors import InvalidInputError

# gRPC's own waits between connection attempts grow to two minutes; ours decide, so its stay short.
OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)
RENEW_BEFORE_SECONDS = 60.0
# A token expires by the server's clock; whatever the device's says, one is used at least and at most this long.
SHORTEST_USE_SECONDS, LONGEST_USE_SECONDS = 30.0, 3600.0

Metadata = tuple[tuple[str, str], ...]


class Connection:
    """Made inside a running event loop. `on_person` is told whom a new token speaks for, and may raise to refuse it."""

    def __init__(
        self,
        address: str,
        identity_address: str,
        api_key: str,
        tls: grpc.ChannelCredentials | None,
        on_person: Callable[[UUID], Awaitable[None]],
        timeout_seconds: float,
    ) -> None:
        self._channels = [_channel(address, tls), _channel(identity_address, tls)]
        self.ingest: Any = IngestServiceStub(self._channels[0])
        self.keys: Any = KeyServiceStub(self._channels[1])
        self._tokens: Any = TokenServiceStub(self._channels[1])
        self._api_key = api_key
        self._on_person = on_person
        self.timeout_seconds = timeout_seconds
        self._lock = asyncio.Lock()
        # Who numbers the batches that this connection carries; the default is the device.
        self.sender_id = ""
        self._token = ""
        self._renew_at = 0.0

    async def metadata(self) -> Metadata:
        """For one call; renews the token when it is about to expire. AioRpcError when identity gives none."""
        async with self._lock:
            if not self._token or time.monotonic() >= self._renew_at:
                await self._renew()
        return (("authorization", f"Bearer {self._token}"),)

    def forget_token(self) -> None:
        """A service refused it; the next call gets another."""
        self._token = ""

    async def reaches_ingest(self) -> bool:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await self._channels[0].channel_ready()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def _renew(self) -> None:
        request = ExchangeApiKeyRequest(api_key=self._api_key)
        answer = await self._tokens.ExchangeApiKey(request, timeout=self.timeout_seconds)
        token: AccessToken = answer.token
        await self._on_person(_person_of(token.access_token))
        lifetime = (token.expire_time.ToDatetime(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
        use = min(max(lifetime - RENEW_BEFORE_SECONDS, SHORTEST_USE_SECONDS), LONGEST_USE_SECONDS)
        self._token, self._renew_at = token.access_token, time.monotonic() + use


def is_loopback(address: str) -> bool:
    """Whether an address such as 127.0.0.1:50052, [::1]:50052 or localhost:50052 stays on this machine."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _channel(address: str, tls: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    if tls:
        return grpc.aio.secure_channel(address, tls, options=OPTIONS)
    return grpc.aio.insecure_channel(address, options=OPTIONS)


def _person_of(token: str) -> UUID:
    """The claim `sub`. The token came from identity itself over this channel, so it isn't verified again."""
    try:
        claims = token.split(".")[1]
        return UUID(json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"])
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError("identity's token doesn't say whom it is for") from error
