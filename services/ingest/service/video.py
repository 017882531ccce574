"""Starts, ends and shows video sessions, and keeps what was seen in them."""

from collections.abc import Sequence
from datetime import datetime

from libs.common.clock import Clock
from libs.common.db.audit import append_audit
from libs.common.db.database import Database, Transaction
from libs.common.ids import derived_id
from libs.common.pagination import Position
from libs.common.people.access import Access, InCareOf
from libs.common.people.store import ensure_user
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.service.callers import actor_of, user_id_of
from services.ingest.store import video_events, video_sessions
from services.ingest.store.video_events import Filter
from services.ingest.video import Recorded, StoredVideoEvent, VideoEvent, VideoSession, first_wrong, may_start, outcome
from services.ingest.vocabulary import VideoSessionStatus


class Video:
    def __init__(self, database: Database, access: Access, clock: Clock) -> None:
        self._database = database
        self._access = access
        self._clock = clock

    async def start(
        self, caller: Caller, stream_session_id: str, type_: str, platform: str, start_time: datetime
    ) -> VideoSession:
        """As it is, if it was started before."""
        now = self._clock()
        if not may_start(start_time, now):
            raise _invalid("start_time", "over a day ahead")
        session = VideoSession(
            video_session_id=derived_id("video_session", stream_session_id),
            user_id=user_id_of(caller),
            anonymous_id=caller.anonymous_id,
            stream_session_id=stream_session_id,
            type=type_,
            platform=platform,
            status=VideoSessionStatus.ACTIVE,
            start_time=start_time,
            end_time=None,
            receive_time=now,
        )
        async with self._database.transaction() as tx:
            await ensure_user(tx, session.user_id, session.anonymous_id)
            if not await video_sessions.add(tx, session):
                return await _same(tx, session)
            await _audit(tx, caller, session, "video_session.start")
        return session

    async def end(self, caller: Caller, stream_session_id: str, end_time: datetime, *, failed: bool) -> VideoSession:
        """The first end stands."""
        async with self._database.transaction() as tx:
            session = _owned(await video_sessions.lock(tx, stream_session_id), caller)
            if session.status is not VideoSessionStatus.ACTIVE:
                return session
            if not session.may_end_at(end_time, self._clock()):
                raise _invalid("end_time", "before the session's start, or over a day ahead")
            status = VideoSessionStatus.FAILED if failed else VideoSessionStatus.ENDED
            await video_sessions.end(tx, session.video_session_id, status, end_time)
            await _audit(tx, caller, session, "video_session.end")
            ended = await video_sessions.find(tx, stream_session_id)
        assert ended is not None
        return ended

    async def record(self, caller: Caller, stream_session_id: str, events: Sequence[VideoEvent]) -> Recorded:
        """Durable when it returns, as a whole."""
        async with self._database.transaction() as tx:
            session = _owned(await video_sessions.hold(tx, stream_session_id), caller)
            now = self._clock()
            if session.status is not VideoSessionStatus.ACTIVE:
                raise AppError(ErrorKind.FAILED_PRECONDITION, "VIDEO_SESSION_ENDED")
            if wrong := first_wrong(session, events, now):
                raise _invalid(wrong, "is repeated, or outside of the session's time")
            digests = {event.event_id: event.digest() for event in events}
            by_id = {event.event_id: event for event in events}
            known = await video_events.insert(tx, session, by_id, digests, now)
        return outcome(session.video_session_id, digests, known)

    async def get(self, caller: Caller, stream_session_id: str) -> VideoSession:
        async with self._database.read() as tx:
            return await self._readable(tx, caller, stream_session_id)

    async def sessions(
        self,
        caller: Caller,
        anonymous_id: str,
        status: VideoSessionStatus | None,
        before: Position | None,
        limit: int,
    ) -> Sequence[VideoSession]:
        async with self._database.read() as tx:
            reach = await self._access.reach(tx, caller, anonymous_id)
            if isinstance(reach, InCareOf) and status is None:
                raise _invalid("status", "is required where no person is named")
            found = await video_sessions.page(tx, reach, status, before, limit)
            if isinstance(reach, InCareOf):
                await self._access.audit_looks(tx, caller, (session.user_id for session in found))
        return found

    async def events(
        self,
        caller: Caller,
        stream_session_id: str,
        anonymous_id: str,
        wanted: Filter,
        before: Position | None,
        limit: int,
    ) -> Sequence[StoredVideoEvent]:
        """Of the session, if it is named; else of the person; else of everybody in care."""
        async with self._database.read() as tx:
            if stream_session_id:
                session = await self._readable(tx, caller, stream_session_id)
                return await video_events.page(tx, session, wanted, before, limit)
            reach = await self._access.reach(tx, caller, anonymous_id)
            found = await video_events.page(tx, reach, wanted, before, limit)
            if isinstance(reach, InCareOf):
                await self._access.audit_looks(tx, caller, (event.user_id for event in found))
        return found

    async def _readable(self, tx: Transaction, caller: Caller, stream_session_id: str) -> VideoSession:
        session = await video_sessions.find(tx, stream_session_id)
        owner = session.user_id if session else None
        await self._access.check_owner(tx, caller, owner, "VIDEO_SESSION_NOT_FOUND")
        assert session is not None
        return session


def _owned(session: VideoSession | None, caller: Caller) -> VideoSession:
    if session is None or session.user_id != caller.user_id:
        raise AppError(ErrorKind.NOT_FOUND, "VIDEO_SESSION_NOT_FOUND")
    return session


async def _same(tx: Transaction, asked: VideoSession) -> VideoSession:
    stored = await video_sessions.find(tx, asked.stream_session_id)
    if stored is None or not stored.says_the_same(asked):
        raise AppError(ErrorKind.ALREADY_EXISTS, "VIDEO_SESSION_EXISTS")
    return stored


def _invalid(field: str, text: str) -> AppError:
    return AppError(ErrorKind.INVALID_ARGUMENT, "INVALID_FIELD", text, field=field)


async def _audit(tx: Transaction, caller: Caller, session: VideoSession, action: str) -> None:
    await append_audit(
        tx,
        user_id=session.user_id,
        actor=actor_of(caller),
        action=action,
        resource_type="video_session",
        resource_id=session.video_session_id,
    )
