"""Events of video sessions, listed by idx_video_analysis_events_session_id for a session, by _user_id for a person and
for everybody in care, and by _risk_level for everybody in care where the level is rare.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import orjson
from sqlalchemy import select, tuple_

from libs.common.db.database import AnyRow, Transaction
from libs.common.pagination import Position
from libs.common.people.access import Reach
from services.ingest.digest import score_part
from services.ingest.store.reach import reached
from services.ingest.store.times import between
from services.ingest.tables import METADATA, VIDEO_ANALYSIS_EVENTS, VIDEO_SESSIONS
from services.ingest.video import StoredVideoEvent, VideoEvent, VideoSession

USERS = METADATA.tables["ingest.users"]
COLUMNS = VIDEO_ANALYSIS_EVENTS.c
_SELECT = (
    select(VIDEO_ANALYSIS_EVENTS, USERS.c.anonymous_id, VIDEO_SESSIONS.c.stream_session_id)
    .join(USERS, USERS.c.user_id == COLUMNS.user_id)
    .join(VIDEO_SESSIONS, VIDEO_SESSIONS.c.id == COLUMNS.session_id)
)


@dataclass(frozen=True, slots=True)
class Filter:
    """At or after start_time and before end_time; None doesn't bind, nor does an empty level."""

    risk_level: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None


async def insert(
    tx: Transaction,
    session: VideoSession,
    events: Mapping[UUID, VideoEvent],
    digests: Mapping[UUID, bytes],
    receive_time: datetime,
) -> dict[UUID, tuple[UUID, bytes]]:
    """Writes what isn't there; session and digest of what is, by event id. Both mappings are by event id."""
    rows = [
        (
            event_id,
            event.event_time,
            event.risk_level,
            score_part(event.confidence),
            orjson.dumps(dict(event.signals)).decode(),
            event.model_version,
            event.latency_milliseconds,
            digests[event_id],
        )
        for event_id, event in events.items()
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    written = await tx.driver.fetch(_INSERT, session.video_session_id, session.user_id, receive_time, *columns)
    rest = set(events) - {row["id"] for row in written}
    return {row["id"]: (row["session_id"], row["content_digest"]) for row in await tx.driver.fetch(_KNOWN, rest)}


# In one order, because two streams may send the same events at the same time. A confidence comes in ten-thousandths.
_INSERT = """
INSERT INTO video_analysis_events (id, session_id, user_id, created_at, event_at, risk_level, confidence, signals,
                                   model_version, latency_ms, content_digest)
SELECT new.id, $1, $2, $3, event_at, risk_level, confidence::numeric / 10000, signals::jsonb, model_version, latency_ms,
       content_digest
FROM unnest($4::uuid[], $5::timestamptz[], $6::text[], $7::int[], $8::text[], $9::text[], $10::int[], $11::bytea[])
    AS new (id, event_at, risk_level, confidence, signals, model_version, latency_ms, content_digest)
ORDER BY new.id
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
_KNOWN = "SELECT id, session_id, content_digest FROM video_analysis_events WHERE id = ANY($1::uuid[]) ORDER BY id"


async def page(
    tx: Transaction, about: VideoSession | Reach, wanted: Filter, before: Position | None, limit: int
) -> Sequence[StoredVideoEvent]:
    """Newest first; `before` is the time and id of the last event of the page before."""
    if isinstance(about, VideoSession):
        statement = _SELECT.where(COLUMNS.session_id == about.video_session_id)
    else:
        statement = _SELECT.where(reached(VIDEO_ANALYSIS_EVENTS, about))
    statement = statement.where(*between(COLUMNS.event_at, wanted.start_time, wanted.end_time))
    if wanted.risk_level:
        statement = statement.where(COLUMNS.risk_level == wanted.risk_level)
    if before is not None:
        statement = statement.where(tuple_(COLUMNS.event_at, COLUMNS.id) < before)
    statement = statement.order_by(COLUMNS.event_at.desc(), COLUMNS.id.desc()).limit(limit)
    return [_stored(row) for row in await tx.fetch_all(statement)]


def _stored(row: AnyRow) -> StoredVideoEvent:
    event = VideoEvent(
        event_id=row.id,
        event_time=row.event_at,
        risk_level=row.risk_level,
        confidence=float(row.confidence),
        signals=sorted(row.signals.items()),
        model_version=row.model_version,
        latency_milliseconds=row.latency_ms,
    )
    return StoredVideoEvent(event, row.user_id, row.anonymous_id, row.stream_session_id, row.created_at)
