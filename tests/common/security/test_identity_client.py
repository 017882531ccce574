"""Keys and tokens that are fetched from identity, here a fake one over a real channel."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.common.clock import utc_now
from libs.common.rpc.client import ServiceToken
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.rpc.server import ServerParts, Servicer
from libs.common.security import signing_keys
from libs.common.security.signing_keys import IdentityKeys
from libs.common.timestamps import to_timestamp
from quietus.identity.v1.identity_pb2 import (
    AccessToken,
    ExchangeApiKeyRequest,
    ExchangeApiKeyResponse,
    GetSigningKeysResponse,
    SigningKey,
)
from quietus.identity.v1.identity_pb2_grpc import TokenServiceServicer, add_TokenServiceServicer_to_server
from tests.common.rpc.harness import serving

NOBODY_LISTENS = "127.0.0.1:1"


class FakeIdentity(TokenServiceServicer):
    def __init__(self) -> None:
        self.keys = {"k1": Ed25519PrivateKey.generate().public_key().public_bytes_raw()}
        self.fetches = 0
        self.broken = False
        self.exchanges: list[str] = []

    async def GetSigningKeys(self, _: Any, __: Any) -> GetSigningKeysResponse:  # noqa: N802
        self.fetches += 1
        if self.broken:
            raise AppError(ErrorKind.UNAVAILABLE, "DATABASE_UNAVAILABLE")
        return GetSigningKeysResponse(keys=[SigningKey(key_id=i, public_key=k) for i, k in self.keys.items()])

    async def ExchangeApiKey(self, request: ExchangeApiKeyRequest, _: Any) -> ExchangeApiKeyResponse:  # noqa: N802
        self.exchanges.append(request.api_key)
        expire_time = to_timestamp(utc_now() + timedelta(minutes=15))
        token = AccessToken(access_token=f"token-{len(self.exchanges)}", expire_time=expire_time)
        return ExchangeApiKeyResponse(token=token)


def _parts(identity: FakeIdentity) -> ServerParts:
    servicer = Servicer(add_TokenServiceServicer_to_server, identity, "quietus.identity.v1.TokenService")
    return ServerParts("identity", [servicer])


async def test_keys_are_fetched_once_and_for_an_unknown_id_at_most_every_ten_seconds() -> None:
    identity = FakeIdentity()
    async with serving(_parts(identity)) as running:
        keys = IdentityKeys(running.address)
        try:
            found = await keys.find("k1")
            assert found is not None
            assert found.public_bytes_raw() == identity.keys["k1"]
            assert await keys.find("k1") is found
            assert await keys.find("unknown") is None
            assert await keys.find("unknown") is None
            assert identity.fetches == 1
        finally:
            await keys.close()


async def test_new_key_is_found_once_it_may_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    identity = FakeIdentity()
    async with serving(_parts(identity)) as running:
        keys = IdentityKeys(running.address)
        try:
            await keys.find("k1")
            identity.keys["k2"] = identity.keys["k1"]
            monkeypatch.setattr(signing_keys, "_REFETCH_AFTER_SECONDS", 0.0)
            assert await keys.find("k2") is not None
        finally:
            await keys.close()


async def test_unreachable_identity_is_not_a_bad_token() -> None:
    keys = IdentityKeys(NOBODY_LISTENS)
    try:
        with pytest.raises(AppError) as raised:
            await keys.find("k1")
    finally:
        await keys.close()
    assert raised.value.reason == "SIGNING_KEYS_UNAVAILABLE"


async def test_callers_in_an_outage_share_one_attempt() -> None:
    identity = FakeIdentity()
    identity.broken = True
    async with serving(_parts(identity)) as running:
        keys = IdentityKeys(running.address)
        outcomes = await asyncio.gather(*[keys.find("k1") for _ in range(50)], return_exceptions=True)
        await keys.close()
    assert {outcome.reason for outcome in outcomes if isinstance(outcome, AppError)} == {"SIGNING_KEYS_UNAVAILABLE"}
    assert len(outcomes) == 50
    assert identity.fetches == 1


async def test_service_token_is_renewed_before_it_expires(tmp_path: Path) -> None:
    (tmp_path / "fusion.key").write_text("the-key\n")
    identity = FakeIdentity()
    now = utc_now()

    def clock() -> datetime:
        return now

    async with serving(_parts(identity)) as running:
        token = ServiceToken(running.address, tmp_path / "fusion.key", clock)
        try:
            assert await token.metadata() == (("authorization", "Bearer token-1"),)
            assert await token.metadata() == (("authorization", "Bearer token-1"),)
            now += timedelta(minutes=14, seconds=30)
            assert await token.metadata() == (("authorization", "Bearer token-2"),)
        finally:
            await token.close()
    assert identity.exchanges == ["the-key", "the-key"]


async def test_service_without_a_key_is_told_so(tmp_path: Path) -> None:
    token = ServiceToken(NOBODY_LISTENS, tmp_path / "fusion.key")
    with pytest.raises(AppError) as raised:
        await token.metadata()
    assert raised.value.reason == "API_KEY_MISSING"
    await token.close()


async def test_unreachable_identity_gives_no_token(tmp_path: Path) -> None:
    (tmp_path / "fusion.key").write_text("the-key")
    token = ServiceToken(NOBODY_LISTENS, tmp_path / "fusion.key")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await token.metadata()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    await token.close()
