"""Video sessions: found by stream_session_id (unique), listed by idx_video_sessions_user_id for a person and by
idx_video_sessions_status for a counselor.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import AnyRow, Transaction
from libs.common.pagination import Position
from libs.common.people.access import Reach
from services.ingest.store.reach import reached
from services.ingest.tables import METADATA, VIDEO_SESSIONS
from services.ingest.video import VideoSession
from services.ingest.vocabulary import VideoSessionStatus

USERS = METADATA.tables["ingest.users"]
COLUMNS = VIDEO_SESSIONS.c
_SELECT = select(VIDEO_SESSIONS, USERS.c.anonymous_id).join(USERS, USERS.c.user_id == COLUMNS.user_id)


async def add(tx: Transaction, session: VideoSession) -> bool:
    """False when the id is taken; nothing is written then."""
    statement = insert(VIDEO_SESSIONS).values(
        id=session.video_session_id,
        user_id=session.user_id,
        stream_session_id=session.stream_session_id,
        session_type=session.type,
        client_platform=session.platform,
        status=session.status,
        started_at=session.start_time,
        created_at=session.receive_time,
    )
    return await tx.scalar(statement.on_conflict_do_nothing().returning(COLUMNS.id)) is not None


async def find(tx: Transaction, stream_session_id: str) -> VideoSession | None:
    return _one(await tx.fetch_one(_SELECT.where(COLUMNS.stream_session_id == stream_session_id)))


async def lock(tx: Transaction, stream_session_id: str) -> VideoSession | None:
    """For its end."""
    statement = _SELECT.where(COLUMNS.stream_session_id == stream_session_id)
    return _one(await tx.fetch_one(statement.with_for_update(of=VIDEO_SESSIONS, key_share=True)))


async def hold(tx: Transaction, stream_session_id: str) -> VideoSession | None:
    """For its events: it doesn't end before this transaction does."""
    statement = _SELECT.where(COLUMNS.stream_session_id == stream_session_id)
    return _one(await tx.fetch_one(statement.with_for_update(of=VIDEO_SESSIONS, read=True)))


async def end(tx: Transaction, video_session_id: UUID, status: VideoSessionStatus, end_time: datetime) -> None:
    statement = update(VIDEO_SESSIONS).where(COLUMNS.id == video_session_id)
    await tx.execute(statement.values(status=status, ended_at=end_time))


async def page(
    tx: Transaction, reach: Reach, status: VideoSessionStatus | None, before: Position | None, limit: int
) -> Sequence[VideoSession]:
    """Newest start first; `before` is the start and id of the last session of the page before."""
    statement = _SELECT.where(reached(VIDEO_SESSIONS, reach))
    if status is not None:
        statement = statement.where(COLUMNS.status == status)
    if before is not None:
        statement = statement.where(tuple_(COLUMNS.started_at, COLUMNS.id) < before)
    statement = statement.order_by(COLUMNS.started_at.desc(), COLUMNS.id.desc()).limit(limit)
    return [_session(row) for row in await tx.fetch_all(statement)]


def _one(row: AnyRow | None) -> VideoSession | None:
    return None if row is None else _session(row)


def _session(row: AnyRow) -> VideoSession:
    return VideoSession(
        video_session_id=row.id,
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        stream_session_id=row.stream_session_id,
        type=row.session_type,
        platform=row.client_platform,
        status=VideoSessionStatus(row.status),
        start_time=row.started_at,
        end_time=row.ended_at,
        receive_time=row.created_at,
    )
