"""A token says who someone is, until it expires."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError
from libs.common.security.tokens import StaticVerifierKeys, TokenSigner, TokenVerifier
from quietus.common.v1.options_pb2 import ROLE_DEVICE, ROLE_SERVICE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
SIGNER = TokenSigner(KEY, "k1")
DEVICE = Caller(
    user_id=UUID("0197b0a0-0000-4000-8000-000000000000"),
    role=ROLE_DEVICE,
    scopes=frozenset({"predictions"}),
    anonymous_id="person-7",
    device_id="0197b0a0-0000-4000-8000-000000000001",
    service=None,
    expires_at=NOW + timedelta(minutes=15),
)
SERVICE = Caller(None, ROLE_SERVICE, frozenset(), "", None, "fusion", NOW + timedelta(minutes=15))


class CountingKeys(StaticVerifierKeys):
    asked = 0

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        self.asked += 1
        return await super().find(key_id)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def _verifier(clock: Clock | None = None) -> tuple[TokenVerifier, CountingKeys]:
    keys = CountingKeys({"k1": KEY.public_key()})
    return TokenVerifier(keys, clock or Clock()), keys


async def _reason(token: str, clock: Clock | None = None) -> str:
    with pytest.raises(AppError) as raised:
        await _verifier(clock)[0].verify(token)
    return raised.value.reason


@pytest.mark.parametrize("caller", [DEVICE, SERVICE], ids=["device", "service"])
async def test_token_verifies_as_the_caller_that_was_signed(caller: Caller) -> None:
    assert await _verifier()[0].verify(SIGNER.sign(caller, NOW)) == caller


async def test_token_is_read_once() -> None:
    verifier, keys = _verifier()
    token = SIGNER.sign(DEVICE, NOW)
    for _ in range(3):
        await verifier.verify(token)
    assert keys.asked == 1


async def test_remembered_token_expires_too() -> None:
    clock = Clock()
    verifier, _ = _verifier(clock)
    token = SIGNER.sign(DEVICE, NOW)
    await verifier.verify(token)
    clock.now = DEVICE.expires_at
    for _ in range(2):
        with pytest.raises(AppError) as raised:
            await verifier.verify(token)
        assert raised.value.reason == "TOKEN_EXPIRED"


def _forged(**changes: object) -> str:
    claims = jwt.decode(SIGNER.sign(DEVICE, NOW), options={"verify_signature": False}) | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, KEY, "EdDSA", headers={"kid": "k1"})


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c",
        TokenSigner(Ed25519PrivateKey.generate(), "k1").sign(DEVICE, NOW),
        TokenSigner(KEY, "unknown").sign(DEVICE, NOW),
        jwt.encode({"role": "admin", "exp": 9999999999, "iat": 0}, "", "none", headers={"kid": "k1"}),
        jwt.encode({"role": "admin", "exp": 9999999999, "iat": 0}, "k" * 32, "HS256", headers={"kid": "k1"}),
        _forged(exp=None),
        _forged(role="emperor"),
        _forged(role=None),
        _forged(sub="nobody"),
        _forged(exp=10**30),
    ],
    ids=["shape", "signature", "key", "none", "hmac", "no-exp", "role", "no-role", "sub", "exp"],
)
async def test_token_that_identity_did_not_make_is_refused(token: str) -> None:
    assert await _reason(token) == "TOKEN_INVALID"


async def test_no_token_has_a_reason_of_its_own() -> None:
    assert await _reason("") == "TOKEN_MISSING"
