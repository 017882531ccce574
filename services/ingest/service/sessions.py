"""Starts, ends and shows sessions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.people.access import Access
from libs.common.people.store import ensure_user
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.clock_skew import ClockEstimate
from services.ingest.events import session_ended, session_started
from services.ingest.senders import SENDERS_MAX, Sender
from services.ingest.service.callers import actor_of, device_id_of, user_id_of
from services.ingest.sessions import EndCause, Session, SessionKey, Status, is_closed, is_expired, may_start
from services.ingest.silence import Silence
from services.ingest.store import clocks, predictions, senders, sessions, silences
from services.ingest.vocabulary import Modality

# How exactly it is kept when a sender was last heard of: reopened streams needn't write.
HEARD_PRECISION = timedelta(minutes=1)
SILENCES_MAX = 100


@dataclass(frozen=True, slots=True)
class SessionDetails:
    """`counts` of stored predictions; `senders` in the order in which they first came, `clocks` by their sender_id;
    the newest `silences`, oldest first.
    """

    session: Session
    counts: Mapping[Modality, int]
    senders: Sequence[Sender]
    silences: Sequence[Silence]
    clocks: Mapping[UUID, ClockEstimate]


class Sessions:
    def __init__(
        self, database: Database, access: Access, retention: timedelta, grace: timedelta, clock: Clock
    ) -> None:
        """`grace`: how long after its end was received a session takes late predictions."""
        self._database = database
        self._access = access
        self._retention = retention
        self.grace = grace
        self._clock = clock

    async def start(self, caller: Caller, session_id: UUID, start_time: datetime) -> Session:
        now = self._clock()
        if session_id.version != 7:
            raise AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", "not a UUIDv7", field="session_id")
        if not may_start(session_id, start_time, now, self._retention):
            metadata = {"server_time": now.isoformat()}
            raise AppError(ErrorKind.INVALID_ARGUMENT, "SESSION_TIME_OUT_OF_BOUNDS", metadata=metadata)
        key = SessionKey(session_id, user_id_of(caller), caller.anonymous_id)
        session = Session(key, Status.ACTIVE, start_time, None, now, None, device_id=device_id_of(caller))
        async with self._database.transaction() as tx:
            await ensure_user(tx, key.user_id, key.anonymous_id)
            if not await sessions.add(tx, session):
                return await _same(tx, session)
            tx.append_to_outbox([session_started(session)])
            await _audit(tx, actor_of(caller), session, "session.start")
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
            return await end_session(tx, session.ended(end_time, now, EndCause.BY_WORD), actor_of(caller))

    async def to_record(self, caller: Caller, session_id: UUID, sender_id: UUID | None) -> tuple[Session, Sender]:
        """The caller's own session, if it takes predictions, and who sends them; by default the caller's device.

        NOT_FOUND SESSION_NOT_FOUND; FAILED_PRECONDITION SESSION_ENDED, SESSION_EXPIRED, TOO_MANY_SENDERS.
        """
        now, device_id = self._clock(), device_id_of(caller)
        if is_expired(session_id, now, self._retention):  # its row may be gone
            raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_EXPIRED")
        sender_id = sender_id or device_id or user_id_of(caller)
        async with self._database.read() as tx:
            session = _owned(await sessions.find(tx, session_id), caller)
            sender = await senders.find(tx, session_id, sender_id)
        if session.end_receive_time is not None and is_closed(session.end_receive_time, now, self.grace):
            raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_ENDED")
        if sender is None:
            sender = await self._join(session, sender_id, device_id)
        elif now - sender.last_receive_time >= HEARD_PRECISION:
            async with self._database.transaction() as tx:
                await senders.heard_one(tx, session_id, sender_id, now)
        return session, sender

    async def _join(self, session: Session, sender_id: UUID, device_id: UUID | None) -> Sender:
        """A sender's place follows from the order of the locks."""
        session_id = session.key.session_id
        async with self._database.transaction() as tx:
            if await sessions.lock(tx, session_id) is None:
                raise AppError(ErrorKind.FAILED_PRECONDITION, "SESSION_EXPIRED")
            if known := await senders.find(tx, session_id, sender_id):
                return known
            ordinal = await senders.count(tx, session_id)
            if ordinal >= SENDERS_MAX:
                raise AppError(ErrorKind.FAILED_PRECONDITION, "TOO_MANY_SENDERS")
            now = self._clock()
            sender = Sender(sender_id, device_id, ordinal, now, now)
            await senders.add(tx, session.key, sender)
        return sender

    async def get(self, caller: Caller, session_id: UUID) -> SessionDetails:
        async with self._database.read() as tx:
            session = await self.readable(tx, caller, session_id)
            counts = await predictions.count(tx, session_id)
            return SessionDetails(
                session,
                counts,
                await senders.of_session(tx, session_id),
                await silences.of_session(tx, session_id, SILENCES_MAX),
                await clocks.of_senders(tx, session.key),
            )

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


async def end_session(tx: Transaction, ended: Session, actor: str) -> Session:
    """Writes and tells the end of a session that is locked."""
    await sessions.end(tx, ended)
    tx.append_to_outbox([session_ended(ended)])
    await _audit(tx, actor, ended, "session.end")
    return ended


async def _audit(tx: Transaction, actor: str, session: Session, action: str) -> None:
    await append_audit(
        tx,
        user_id=session.key.user_id,
        actor=actor,
        action=action,
        resource_type="session",
        resource_id=session.key.session_id,
    )
