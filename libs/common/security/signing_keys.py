"""The keys that verify tokens, fetched from identity."""

import asyncio
import math
import time

import grpc
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from libs.common.rpc.client import channel
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.identity.v1.identity_pb2 import GetSigningKeysRequest
from quietus.identity.v1.identity_pb2_grpc import TokenServiceStub

log = structlog.get_logger()

_FETCH_TIMEOUT_SECONDS = 3.0
_REFETCH_AFTER_SECONDS = 10.0
_RETRY_AFTER_SECONDS = 1.0


class IdentityKeys:
    """Caches identity's keys. An unknown key id fetches them again, at most every ten seconds, whoever sends it."""

    def __init__(self, identity_address: str) -> None:
        self._channel = channel(identity_address)
        self._lock = asyncio.Lock()
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._fetched_at = -math.inf
        self._reachable = False

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """None: identity doesn't know it. UNAVAILABLE SIGNING_KEYS_UNAVAILABLE: identity can't be asked."""
        if key_id not in self._keys:
            async with self._lock:
                await self._fetch(key_id)
            if key_id not in self._keys and not self._reachable:
                raise AppError(ErrorKind.UNAVAILABLE, "SIGNING_KEYS_UNAVAILABLE", retry_after_seconds=1)
        return self._keys.get(key_id)

    async def _fetch(self, key_id: str) -> None:
        # Whoever waited behind a fetch takes its outcome, also a failure: an outage must not queue up callers.
        pause = _REFETCH_AFTER_SECONDS if self._reachable else _RETRY_AFTER_SECONDS
        if key_id in self._keys or time.monotonic() < self._fetched_at + pause:
            return
        try:
            stub = TokenServiceStub(self._channel)
            answer = await stub.GetSigningKeys(GetSigningKeysRequest(), timeout=_FETCH_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            self._reachable = False
            log.warning("signing keys can't be fetched", status=error.code().name)
        else:
            self._reachable = True
            self._keys = {key.key_id: Ed25519PublicKey.from_public_bytes(key.public_key) for key in answer.keys}
        self._fetched_at = time.monotonic()

    async def close(self) -> None:
        await self._channel.close()
