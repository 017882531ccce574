"""Access tokens: short EdDSA JSON Web Tokens, signed by identity and verified locally by everybody."""

from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.common.clock import Clock, utc_now
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import Role

_ALGORITHM = "EdDSA"
_ROLE_PREFIX = "ROLE_"
_MAX_TOKEN_CHARACTERS = 4096
_MAX_CACHED_TOKENS = 20_000


class VerifierKeys(Protocol):
    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        """The key that verifies tokens of this header kid. UNAVAILABLE SIGNING_KEYS_UNAVAILABLE."""


class StaticVerifierKeys:
    """Keys that are known beforehand: those of identity itself, and of tests."""

    def __init__(self, keys: dict[str, Ed25519PublicKey]) -> None:
        self._keys = keys

    async def find(self, key_id: str) -> Ed25519PublicKey | None:
        return self._keys.get(key_id)


class TokenSigner:
    """Writes what a caller is into a token."""

    def __init__(self, private_key: Ed25519PrivateKey, key_id: str) -> None:
        self._private_key = private_key
        self._key_id = key_id

    def sign(self, caller: Caller, issued_at: datetime | None = None) -> str:
        """A token that verifies as exactly this caller until caller.expires_at, cut to whole seconds."""
        claims: dict[str, Any] = {
            "role": Role.Name(caller.role).removeprefix(_ROLE_PREFIX).lower(),
            "scopes": sorted(caller.scopes),
            "anonymous_id": caller.anonymous_id,
            "iat": int((issued_at or utc_now()).timestamp()),
            "exp": int(caller.expires_at.timestamp()),
        }
        optional = {
            "sub": str(caller.user_id) if caller.user_id else None,
            "device_id": caller.device_id,
            "service": caller.service,
        }
        claims |= {name: value for name, value in optional.items() if value is not None}
        return jwt.encode(claims, self._private_key, _ALGORITHM, headers={"kid": self._key_id})


class TokenVerifier:
    """Verifies each token once and remembers it until it expires: a signature costs 100 us, a look-up nothing."""

    def __init__(self, keys: VerifierKeys, clock: Clock = utc_now) -> None:
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[str, Caller] = OrderedDict()

    async def verify(self, token: str) -> Caller:
        """UNAUTHENTICATED TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED. UNAVAILABLE SIGNING_KEYS_UNAVAILABLE."""
        caller = self._verified.get(token)
        if caller is None:
            caller = await self._read(token)
        self._remember(token, caller)
        if caller.expires_at <= self._clock():
            self._verified.pop(token, None)
            raise AppError(ErrorKind.UNAUTHENTICATED, "TOKEN_EXPIRED", "the access token has expired")
        return caller

    async def _read(self, token: str) -> Caller:
        if not token:
            raise AppError(ErrorKind.UNAUTHENTICATED, "TOKEN_MISSING", "send metadata authorization: Bearer <token>")
        if len(token) > _MAX_TOKEN_CHARACTERS:
            raise _invalid_token()
        try:
            key = await self._keys.find(str(jwt.get_unverified_header(token).get("kid", "")))
            if key is None:
                raise _invalid_token()
            # Expiry is decided in verify(), by our clock and for remembered tokens too.
            options: Any = {"require": ["exp", "iat", "role"], "verify_exp": False, "verify_iat": False}
            return _caller_from(jwt.decode(token, key, algorithms=[_ALGORITHM], options=options))
        except (jwt.InvalidTokenError, ValueError, TypeError, KeyError, OverflowError) as error:
            raise _invalid_token() from error

    def _remember(self, token: str, caller: Caller) -> None:
        self._verified[token] = caller
        self._verified.move_to_end(token)
        if len(self._verified) > _MAX_CACHED_TOKENS:
            self._verified.popitem(last=False)


def _caller_from(claims: dict[str, Any]) -> Caller:
    return Caller(
        user_id=UUID(claims["sub"]) if claims.get("sub") else None,
        role=Role.Value(_ROLE_PREFIX + claims["role"].upper()),
        scopes=frozenset(claims.get("scopes", ())),
        anonymous_id=claims.get("anonymous_id", ""),
        device_id=claims.get("device_id"),
        service=claims.get("service"),
        expires_at=datetime.fromtimestamp(claims["exp"], UTC),
    )


def _invalid_token() -> AppError:
    return AppError(ErrorKind.UNAUTHENTICATED, "TOKEN_INVALID", "the access token is not valid")
