"""Starts, ends and shows sessions."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.people.access import Access
from libs.common.people.store import ensure_user
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.events import session_ended, session_started
from services.ingest.service.callers import actor_of, user_id_of
from services.ingest.sessions import Session, SessionKey, Status, is_expired, may_start
from services.ingest.store import predictions, sessions
from services.ingest.vocabulary import Modality


class Sessions:
    def __init__(self, database: Database, access: Access, retention: timedelta, clock: Clock) -> None:
        self._database = database
        self._access = access
        self._retention = retention
        self._clock = clock

    async def start(self, caller: Caller, session_id: UUID, start_time: datetime) -> Session:
        now = self._clock()
        if session_id.version != 7:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", "not a UUIDv7", field="session_id")
        if not may_start(session_id, start_time, now, self._retention):
            metadata = {"server_time": now.isoformat()}
            raise AppError(ErrorKind.INVALID_ARGUMENT, "SESSION_TIME_OUT_OF_BOUNDS", metadata=metadata)
        key = SessionKey(session_id, user_id_of(caller), caller.anonymous_id)
        session = Session(key, Status.ACTIVE, start_time, None, now, None)
        async with self._database.transaction() as tx:
            await ensure_user(tx, key.user_id, key.anonymous_id)
            if not await sessions.add(tx, session):
                return await _same(tx, session)
            tx.append_to_outbox([session_started(session)])
            await _audit(tx, caller, session, "session.start")
        return session

    async def end(self, caller: Caller, session_id: UUID, end_time: datetime) -> Session:
        async with self._database.transaction() as tx:
            session = _owned(await sessions.lock(tx, session_id), caller)
            if session.status is Status.ENDED:
                return session
            # The clock is read under the lock, so that every prediction of the session was received before its end.
            now = self._clock()
            if not session.may_end_at(end_time, now):
                raise AppError(
                    ErrorKind.INVALID_ARGUMENT,
                    "INVALID_FIELD",
                    "before the session's start, or over a day ahead",
                    field="end_time",
                )
            await sessions.end(tx, session_id, end_time, now)
            ended = session.ended(end_time, now)
            tx.append_to_outbox([session_ended(ended)])
            await _audit(tx, caller, ended, "session.end")
        return ended

    async def to_record(self, caller: Caller, session_id: UUID) -> Session:
        """The caller's own session, if it takes predictions.

        NOT_FOUND SESSION_NOT_FOUND; FAILED_PRECONDITION SESSION_ENDED, SESSION_EXPIRED.
        """
        async with self._database.read() as tx:
            session = _owned(await sessions.find(tx, session_id), caller)
        if is_expired(session_id, self._clock(), self._retention):
            raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_EXPIRED")
        if session.status is Status.ENDED:
            raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_ENDED")
        return session

    async def get(self, caller: Caller, session_id: UUID) -> tuple[Session, dict[Modality, int]]:
        async with self._database.read() as tx:
            session = await self.readable(tx, caller, session_id)
            return session, await predictions.count(tx, session_id)

    async def page(
        self, caller: Caller, anonymous_id: str, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[Session]:
        async with self._database.read() as tx:
            person = await self._access.person_for(tx, caller, anonymous_id)
            return await sessions.page(tx, person.user_id, before, limit)

    async def readable(self, tx: Transaction, caller: Caller, session_id: UUID) -> Session:
        """NOT_FOUND SESSION_NOT_FOUND, also when it is somebody's whom the caller may not read."""
        session = await sessions.find(tx, session_id)
        owner = session.key.user_id if session else None
        await self._access.check_owner(tx, caller, owner, "SESSION_NOT_FOUND")
        assert session is not None
        return session


def _owned(session: Session | None, caller: Caller) -> Session:
    if session is None or session.key.user_id != caller.user_id:
        raise AppError(ErrorKind.NOT_FOUND, "SESSION_NOT_FOUND")
    return session


async def _same(tx: Transaction, asked: Session) -> Session:
    session = await sessions.find(tx, asked.key.session_id)
    if session is None or session.key.user_id != asked.key.user_id or session.start_time != asked.start_time:
        raise AppError(ErrorKind.ALREADY_EXISTS, "SESSION_EXISTS")
    return session


async def _audit(tx: Transaction, caller: Caller, session: Session, action: str) -> None:
    await append_audit(
        tx,
        user_id=session.key.user_id,
        actor=actor_of(caller),
        action=action,
        resource_type="session",
        resource_id=session.key.session_id,
    )
