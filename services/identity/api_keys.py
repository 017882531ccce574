"""API keys of devices and services: 32 random bytes, shown once."""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from enum import StrEnum

KEY_MARK = "qk_"  # lets secret scanners find a leaked key
PREFIX_CHARACTERS = 8


class KeyKind(StrEnum):
    DEVICE = "device"
    SERVICE = "service"


@dataclass(frozen=True)
class NewApiKey:
    """`prefix` tells keys apart for people; `key_hash` alone finds a key again."""

    secret: str = field(repr=False)
    prefix: str
    key_hash: str


def new_api_key() -> NewApiKey:
    secret = KEY_MARK + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
    return NewApiKey(secret=secret, prefix=secret[:PREFIX_CHARACTERS], key_hash=hash_of(secret))


def hash_of(secret: str) -> str:
    """SHA-256 in hex. A slow hash guards what people choose; 256 random bits need none: nobody guesses them."""
    return hashlib.sha256(secret.encode()).hexdigest()
