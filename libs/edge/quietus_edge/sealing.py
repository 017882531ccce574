"""Seals what a person says for that person's key: HPKE (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM.

Sealed bytes are the length of the key id (2 bytes, big-endian), the key id, and the HPKE message. `info` binds a
message to its place: 'quietus/v1', table, user id and row id, each after its length (4 bytes, big-endian).
A prediction's row id is its chunk id, an analysis' its request id, a voice session's its own id.
"""

import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from quietus_edge.errors import SealingError, WrongPassphraseError

VERSION = "quietus/v1"
# Tables with sealed columns.
TEXT_PREDICTIONS = "text_predictions"
ANALYSIS_RECORDS = "analysis_records"
VOICE_SESSIONS = "voice_sessions"

# RFC 9106, section 4, second recommended option: for machines short of memory, such as phones.
# One lane: with more, derivations that run at the same time in several threads wait for each other for ever.
ARGON2_ITERATIONS, ARGON2_LANES, ARGON2_MEMORY_KIB = 3, 1, 64 * 1024
SALT_BYTES, NONCE_BYTES, KEY_BYTES = 16, 12, 32
WRAPPING_CONTEXT = b"quietus/v1 private key"


@dataclass(frozen=True)
class SealingKey:
    """A person's public key: `public_key` is 32 bytes of X25519."""

    key_id: str
    public_key: bytes


@dataclass(frozen=True)
class KeyPair:
    """A new key pair. Only `public_key`, `wrapped_private_key` and `salt` may leave the device."""

    public_key: bytes
    wrapped_private_key: bytes
    salt: bytes


def seal(plaintext: str, key: SealingKey, *, table: str, user_id: UUID, row_id: UUID) -> bytes:
    public_key = X25519PublicKey.from_public_bytes(key.public_key)
    message = _suite().encrypt(plaintext.encode(), public_key, _info(table, user_id, row_id))
    return _prefixed(key.key_id.encode(), 2) + message


def unseal(sealed: bytes, private_key: bytes, *, table: str, user_id: UUID, row_id: UUID) -> str:
    """SealingError when the bytes are damaged or were sealed for another key, table, person or row."""
    _, message = _split(sealed)
    try:
        key = X25519PrivateKey.from_private_bytes(private_key)
        return _suite().decrypt(message, key, _info(table, user_id, row_id)).decode()
    except (InvalidTag, ValueError) as error:
        raise SealingError("sealed bytes don't open with this key at this place") from error


def key_id_of(sealed: bytes) -> str:
    """The key that opens the bytes. SealingError when they are too short to say."""
    key_id, _ = _split(sealed)
    return key_id.decode(errors="replace")


def make_key_pair(passphrase: str) -> KeyPair:
    """A new key pair whose private key only the passphrase opens.

    Takes 64 MiB and some tenths of a second: call it off the event loop.
    """
    private_key = X25519PrivateKey.generate()
    salt, nonce = os.urandom(SALT_BYTES), os.urandom(NONCE_BYTES)
    sealed = AESGCM(_wrapping_key(passphrase, salt)).encrypt(nonce, private_key.private_bytes_raw(), WRAPPING_CONTEXT)
    return KeyPair(private_key.public_key().public_bytes_raw(), nonce + sealed, salt)


def unwrap(wrapped_private_key: bytes, salt: bytes, passphrase: str) -> bytes:
    """The private key, 32 bytes. WrongPassphraseError when the passphrase or the bytes are wrong."""
    nonce, sealed = wrapped_private_key[:NONCE_BYTES], wrapped_private_key[NONCE_BYTES:]
    try:
        return AESGCM(_wrapping_key(passphrase, salt)).decrypt(nonce, sealed, WRAPPING_CONTEXT)
    except (InvalidTag, ValueError) as error:
        raise WrongPassphraseError("the passphrase doesn't open the private key") from error


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def _info(table: str, user_id: UUID, row_id: UUID) -> bytes:
    parts = (VERSION, table, str(user_id), str(row_id))
    return b"".join(_prefixed(part.encode(), 4) for part in parts)


def _prefixed(value: bytes, length_bytes: int) -> bytes:
    return len(value).to_bytes(length_bytes, "big") + value


def _split(sealed: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(sealed[:2], "big")
    if len(sealed) <= 2 + length:
        raise SealingError("sealed bytes are cut short")
    return sealed[2 : 2 + length], sealed[2 + length :]


def _wrapping_key(passphrase: str, salt: bytes) -> bytes:
    derivation = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=ARGON2_ITERATIONS,
        lanes=ARGON2_LANES,
        memory_cost=ARGON2_MEMORY_KIB,
    )
    return derivation.derive(passphrase.encode())
