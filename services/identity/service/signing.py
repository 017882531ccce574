"""The keys that sign access tokens, opened once at the start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from libs.common.db.database import Database, Transaction
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.security.keyring import Keyring
from libs.common.security.tokens import TokenSigner
from services.identity.store import signing_keys
from services.identity.store.signing_keys import StoredSigningKey

CONTEXT = "signing_keys.private_key"


@dataclass(frozen=True)
class SigningKeys:
    """`signer` uses the newest key; `public_keys`, by key id, verify what any of them signed."""

    signer: TokenSigner = field(repr=False)
    public_keys: Mapping[str, Ed25519PublicKey]


async def load(database: Database, keyring: Keyring) -> SigningKeys:
    """FAILED_PRECONDITION NOT_BOOTSTRAPPED: there is no key yet. KeyringError: the keys are another keyring's."""
    async with database.read() as tx:
        stored = await signing_keys.newest_first(tx)
    if not stored:
        raise AppError(ErrorKind.FAILED_PRECONDITION, "NOT_BOOTSTRAPPED")
    private_key = bytes.fromhex(keyring.decrypt(stored[0].private_key_encrypted, CONTEXT))
    signer = TokenSigner(Ed25519PrivateKey.from_private_bytes(private_key), str(stored[0].key_id))
    return SigningKeys(signer, {str(key.key_id): Ed25519PublicKey.from_public_bytes(key.public_key) for key in stored})


async def add(tx: Transaction, keyring: Keyring, now: datetime) -> None:
    """A fresh key; services that start from now on sign with it."""
    private_key = Ed25519PrivateKey.generate()
    sealed = keyring.encrypt(private_key.private_bytes_raw().hex(), CONTEXT)
    await signing_keys.add(tx, StoredSigningKey(uuid4(), private_key.public_key().public_bytes_raw(), sealed), now)
