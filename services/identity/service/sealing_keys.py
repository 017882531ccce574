"""Holds the keys that seal what a person says; the server can't open what they seal."""

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.ids import derived_id
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.identity import events
from services.identity.service.callers import actor_of, user_id_of
from services.identity.store import sealing_keys
from services.identity.store.sealing_keys import SealingKey


class SealingKeys:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def register(self, caller: Caller, public_key: bytes, wrapped_private_key: bytes, salt: bytes) -> SealingKey:
        """The key that stands. The same key again changes nothing, another is ALREADY_EXISTS KEY_ALREADY_REGISTERED.

        INVALID_ARGUMENT INVALID_FIELD for a key that nothing can be sealed for.
        """
        _check_seals(public_key)
        user_id, now = user_id_of(caller), self._clock()
        key_id = derived_id("encryption_key", user_id, public_key.hex())
        key = SealingKey(key_id, public_key, wrapped_private_key, salt)
        async with self._database.transaction() as tx:
            if not await sealing_keys.add(tx, user_id, key, now):
                return await self._standing(tx, caller, key)
            tx.append_to_outbox([events.public_key_registered(user_id, caller.anonymous_id, key_id, public_key, now)])
            await append_audit(
                tx,
                user_id=user_id,
                actor=actor_of(caller),
                action="key.registered",
                resource_type="encryption_key",
                resource_id=str(key_id),
            )
        return key

    async def get(self, caller: Caller) -> SealingKey:
        """NOT_FOUND KEY_NOT_FOUND."""
        async with self._database.read() as tx:
            key = await sealing_keys.of_person(tx, user_id_of(caller))
        if key is None:
            raise AppError(ErrorKind.NOT_FOUND, "KEY_NOT_FOUND")
        return key

    async def _standing(self, tx: Transaction, caller: Caller, key: SealingKey) -> SealingKey:
        standing = await sealing_keys.of_person(tx, user_id_of(caller))
        if standing is None or standing.key_id != key.key_id:
            raise AppError(ErrorKind.ALREADY_EXISTS, "KEY_ALREADY_REGISTERED")
        return standing


def _check_seals(public_key: bytes) -> None:
    """A point of low order makes every shared secret zero; X25519 refuses it (RFC 7748, section 6.1)."""
    try:
        X25519PrivateKey.generate().exchange(X25519PublicKey.from_public_bytes(public_key))
    except ValueError as error:
        text = "nothing can be sealed for it"
        raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field="public_key") from error
