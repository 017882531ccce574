"""A real server on a free port of loopback, and tokens that it accepts."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import grpc
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.clock import utc_now
from libs.common.observability.metrics import Metrics
from libs.common.rpc.caller import Caller
from libs.common.rpc.client import Metadata, bearer, channel
from libs.common.rpc.server import Server, ServerParts, build_server
from libs.common.security.tokens import StaticVerifierKeys, TokenSigner, TokenVerifier
from libs.common.settings import CommonSettings
from quietus.common.v1.options_pb2 import ROLE_SERVICE, Role

_KEY_ID = "test-key"


class Tokens:
    """Signs tokens as identity would, and verifies them."""

    def __init__(self) -> None:
        private_key = Ed25519PrivateKey.generate()
        self._signer = TokenSigner(private_key, _KEY_ID)
        self.verifier = TokenVerifier(StaticVerifierKeys({_KEY_ID: private_key.public_key()}))

    def metadata(
        self,
        role: "Role.ValueType" = ROLE_SERVICE,
        user_id: UUID | None = None,
        anonymous_id: str = "",
        *,
        scopes: frozenset[str] = frozenset(),
        device_id: str | None = None,
        service: str | None = None,
        seconds: float = 900,
    ) -> Metadata:
        """Metadata with a token that expires in so many seconds."""
        expires_at = utc_now() + timedelta(seconds=seconds)
        return bearer(self._signer.sign(Caller(user_id, role, scopes, anonymous_id, device_id, service, expires_at)))


@dataclass(frozen=True)
class Serving:
    server: Server
    channel: grpc.aio.Channel
    tokens: Tokens
    metrics: Metrics
    address: str


@asynccontextmanager
async def serving(parts: ServerParts, settings: CommonSettings | None = None) -> AsyncIterator[Serving]:
    """Runs the server that a service would have, with a channel to it."""
    tokens, metrics = Tokens(), Metrics(parts.name)
    server = build_server(settings or CommonSettings(), parts, tokens.verifier, metrics)
    address = f"127.0.0.1:{await server.start()}"
    await server.set_serving(True)
    client = channel(address)
    try:
        yield Serving(server, client, tokens, metrics, address)
    finally:
        await client.close()
        await server.drain(0)


async def call_line(logs: Sequence[MutableMapping[str, Any]]) -> MutableMapping[str, Any]:
    """The line of a call; the caller may have its answer before the server is done with it."""
    async with asyncio.timeout(20):
        while not (lines := [log for log in logs if log["event"] == "call"]):  # noqa: ASYNC110 - logs tell nobody
            await asyncio.sleep(0.01)
    assert len(lines) == 1
    return lines[0]
