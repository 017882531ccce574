"""Channels to other services, and the token that a service calls them with."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import grpc

from libs.common.clock import Clock, utc_now
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.timestamps import to_datetime
from quietus.identity.v1.identity_pb2 import ExchangeApiKeyRequest
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub

Metadata = tuple[tuple[str, str], ...]

_MAX_MESSAGE_BYTES = 64 * 1024 * 1024
_EXCHANGE_TIMEOUT_SECONDS = 5.0
_RENEW_BEFORE_EXPIRY = timedelta(seconds=60)
OPTIONS = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Channels of one process must not share connections: a drained one would take the others with it.
    ("grpc.use_local_subchannel_pool", 1),
)


def channel(address: str, credentials: grpc.ChannelCredentials | None = None) -> grpc.aio.Channel:
    """A channel that notices a dead peer; plaintext without credentials. The caller closes it."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=OPTIONS)
    return grpc.aio.secure_channel(address, credentials, options=OPTIONS)


def bearer(access_token: str) -> Metadata:
    return (("authorization", f"Bearer {access_token}"),)


class ServiceToken:
    """The access token of a service, traded for its API key and renewed a minute before it expires."""

    def __init__(self, identity_address: str, api_key_path: Path, clock: Clock = utc_now) -> None:
        self._channel = channel(identity_address)
        self._api_key_path = api_key_path
        self._clock = clock
        self._lock = asyncio.Lock()
        self._metadata: Metadata = ()
        self._expire_time: datetime | None = None

    async def metadata(self) -> Metadata:
        """For one call. grpc.RpcError of the exchange; FAILED_PRECONDITION API_KEY_MISSING without a key file."""
        async with self._lock:
            if self._expire_time is None or self._clock() >= self._expire_time - _RENEW_BEFORE_EXPIRY:
                await self._renew()
        return self._metadata

    async def _renew(self) -> None:
        request = ExchangeApiKeyRequest(api_key=self._read_api_key())
        response = await TokenServiceStub(self._channel).ExchangeApiKey(request, timeout=_EXCHANGE_TIMEOUT_SECONDS)
        self._metadata = bearer(response.token.access_token)
        self._expire_time = to_datetime(response.token.expire_time)

    def _read_api_key(self) -> str:
        try:
            return self._api_key_path.read_text().strip()
        except OSError as error:
            raise AppError(ErrorKind.FAILED_PRECONDITION, "API_KEY_MISSING", str(self._api_key_path)) from error

    async def close(self) -> None:
        await self._channel.close()
