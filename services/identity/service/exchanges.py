"""Trades the API key of a device or a service for a token."""

from datetime import datetime
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.rpc.errors import AppError, ErrorKind
from services.identity.api_keys import hash_of
from services.identity.store import api_keys, users
from services.identity.store.api_keys import DeviceHolder, ServiceHolder
from services.identity.tokens import IssuedToken, TokenIssuer


class Exchanges:
    def __init__(self, database: Database, tokens: TokenIssuer, clock: Clock) -> None:
        self._database = database
        self._tokens = tokens
        self._clock = clock

    async def exchange(self, api_key: str) -> IssuedToken:
        now = self._clock()
        async with self._database.transaction() as tx:
            match await api_keys.use(tx, hash_of(api_key), now):
                case ServiceHolder(service):
                    await _audit(tx, None, "service", service)
                    return self._tokens.for_service(service)
                case DeviceHolder() as holder:
                    return await self._for_device(tx, holder, now)
        raise _refused()

    async def _for_device(self, tx: Transaction, holder: DeviceHolder, now: datetime) -> IssuedToken:
        person = await users.by_id(tx, holder.user_id)
        if person is None or not person.may_log_in:
            raise _refused()
        await users.record_activity(tx, person.user_id, now)
        await _audit(tx, person.user_id, "device", str(holder.device_id))
        return self._tokens.for_device(person, holder.device_id)


def _refused() -> AppError:
    return AppError(ErrorKind.UNAUTHENTICATED, "BAD_CREDENTIALS")


async def _audit(tx: Transaction, user_id: UUID | None, kind: str, name: str) -> None:
    await append_audit(
        tx, user_id=user_id, actor=f"{kind}:{name}", action="token.issued", resource_type=kind, resource_id=name
    )
