"""The person's public key: looked up in the background, kept in the spool for the time offline."""

import asyncio
from uuid import UUID

import grpc

from quietus.identity.v1.identity_pb2 import GetPublicKeyRequest
from quietus_edge import sealing
from quietus_edge.connection import Connection
from quietus_edge.errors import EdgeError, OtherPersonError, reason_of
from quietus_edge.messages import Seal
from quietus_edge.retry import Backoff, is_unreachable
from quietus_edge.sealing import SealingKey
from quietus_edge.settings import Limits
from quietus_edge.spool import Spool, Store
from quietus_edge.status import Problem, Reports

DAY_SECONDS = 86_400.0


class Keys:
    """Whom the spool belongs to, and the key that seals for that person."""

    def __init__(self, spool: Spool, limits: Limits) -> None:
        self._spool = spool
        self._limits = limits
        self._user_id: UUID | None = None
        self._key: SealingKey | None = None
        self._looked_up = asyncio.Event()

    @property
    def can_seal(self) -> bool:
        return self._key is not None

    async def load(self) -> None:
        """Reads what an earlier run learned."""
        self._user_id, self._key = await self._spool.run(_read)

    async def bind(self, user_id: UUID) -> None:
        """Binds the spool to a token's person. OtherPersonError: what waits in it was recorded for someone else."""
        if user_id == self._user_id:
            return
        if not await self._spool.run(lambda store: _bind(store, user_id)):
            raise OtherPersonError("the spool holds predictions of another person; give each person a spool")
        self._user_id, self._key = user_id, None

    async def seal_for(self, row_id: UUID) -> Seal | None:
        """What seals a transcript, or None while the person has no key. Only the first look-up is waited for."""
        if not self._key:
            try:
                async with asyncio.timeout(self._limits.key_wait_seconds):
                    await self._looked_up.wait()
            except TimeoutError:
                self._looked_up.set()
        user_id, key = self._user_id, self._key
        if not (user_id and key):
            return None
        return lambda words: sealing.seal(words, key, table=sealing.TEXT_PREDICTIONS, user_id=user_id, row_id=row_id)

    async def run(self, connection: Connection, reports: Reports) -> None:
        """Looks the key up until cancelled: soon again when the service is away, seldom when there is no key."""
        backoff = Backoff(self._limits.first_retry_seconds, self._limits.longest_retry_seconds)
        while True:
            pause = self._limits.key_retry_seconds
            try:
                await self._look_up(connection)
                pause = DAY_SECONDS
            except grpc.RpcError as error:
                if is_unreachable(error):
                    pause = backoff.next_seconds()
                elif reason_of(error) != "KEY_NOT_FOUND":
                    reports.tell(Problem(reason_of(error) or error.code().name, "the sealing key can't be looked up"))
            except EdgeError as error:
                reports.tell(Problem(error.reason, str(error)))
            self._looked_up.set()
            await asyncio.sleep(pause)

    async def _look_up(self, connection: Connection) -> None:
        metadata = await connection.metadata()
        answer = await connection.keys.GetPublicKey(
            GetPublicKeyRequest(), metadata=metadata, timeout=connection.timeout_seconds
        )
        key = SealingKey(answer.key_id, answer.public_key)
        await self._spool.run(lambda store: _write_key(store, key))
        self._key = key


def _read(store: Store) -> tuple[UUID | None, SealingKey | None]:
    user_id, key_id, public_key = store.fact("user_id"), store.fact("key_id"), store.fact("public_key")
    key = SealingKey(key_id.decode(), public_key) if key_id and public_key else None
    return (UUID(user_id.decode()) if user_id else None), key


def _write_key(store: Store, key: SealingKey) -> None:
    store.set_fact("key_id", key.key_id.encode())
    store.set_fact("public_key", key.public_key)


def _bind(store: Store, user_id: UUID) -> bool:
    bound = store.fact("user_id")
    if bound is not None and bound != str(user_id).encode():
        if store.session_keys():
            return False
        _write_key(store, SealingKey("", b""))
    store.set_fact("user_id", str(user_id).encode())
    return True
