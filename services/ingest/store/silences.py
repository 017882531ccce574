"""Silences of modalities, and what is known of modalities.

Silences are found by their primary key (session_id, modality, since_time), those that last by
idx_modality_silences_lasting. The newest prediction is the one with the newest chunk id: one look into the unique key
of each table.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from libs.common.db.database import Transaction
from services.ingest.sessions import SessionKey
from services.ingest.silence import Cause, Silence, latest
from services.ingest.store.predictions import BY_NEWEST_CHUNK, TABLES, walk_indexes
from services.ingest.vocabulary import Modality

# session_id, modality
Place = tuple[UUID, Modality]


class Newest(NamedTuple):
    received: datetime | None
    captured_until: datetime | None


class Windows(NamedTuple):
    """Of one modality. `first_start`: where the first window starts that ends after a time that was asked for."""

    received: datetime | None
    captured_until: datetime | None
    first_start: datetime | None

    def with_later(self, later: "Windows") -> "Windows":
        return Windows(
            latest(self.received, later.received),
            latest(self.captured_until, later.captured_until),
            min((start for start in (self.first_start, later.first_start) if start is not None), default=None),
        )


NEWEST = " UNION ALL ".join(
    f"""SELECT k.session_id, {modality.value}, p.receive_time, p.capture_end_time
FROM unnest($1::uuid[]) AS k (session_id),
LATERAL (
    SELECT receive_time, capture_end_time FROM {table.name} WHERE session_id = k.session_id
    ORDER BY chunk_id DESC LIMIT 1
) AS p
"""  # noqa: S608 - names of tables of ours
    for modality, table in TABLES.items()
)
WINDOWS = {
    modality: f"""
SELECT max(receive_time), max(capture_end_time), min(capture_start_time) FILTER (WHERE capture_end_time > $2) FROM (
    SELECT receive_time, capture_start_time, capture_end_time FROM {table.name} WHERE session_id = $1 {{recent}}
) AS newest
"""  # noqa: S608
    for modality, table in TABLES.items()
}
_LASTING = """
SELECT * FROM modality_silences WHERE session_id = ANY($1::uuid[]) AND resume_receive_time IS NULL
"""
_KEEP_RUNNING = """
INSERT INTO modality_heartbeats (session_id, modality, user_id, running_time)
SELECT heard.* FROM unnest($1::uuid[], $2::smallint[], $3::uuid[], $4::timestamptz[])
    AS heard (session_id, modality, user_id, running_time) JOIN sessions ON sessions.id = heard.session_id
ON CONFLICT (session_id, modality) DO UPDATE SET
    running_time = greatest(modality_heartbeats.running_time, excluded.running_time)
"""
_BEGIN = """
INSERT INTO modality_silences (session_id, modality, since_time, user_id, cause, receive_time)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_END = """
UPDATE modality_silences SET resume_time = $4, resume_receive_time = $5
WHERE session_id = $1 AND modality = $2 AND since_time = $3
"""


async def newest(tx: Transaction, session_ids: Collection[UUID]) -> Mapping[Place, Newest]:
    """By chunk id, which is by capture time as long as all clocks of the session agree."""
    rows = await tx.driver.fetch(NEWEST, list(session_ids))
    return {(row[0], Modality(row[1])): Newest(row[2], row[3]) for row in rows}


async def windows(tx: Transaction, session_id: UUID, since: Mapping[Modality, datetime]) -> Mapping[Modality, Windows]:
    """Whatever the clocks; reads all predictions of the session. `since`: after which a window is asked for."""
    return {modality: await _windows(tx, session_id, modality, "", since.get(modality)) for modality in Modality}


async def recent_windows(
    tx: Transaction, session_id: UUID, since: Mapping[Modality, datetime]
) -> Mapping[Modality, Windows]:
    """Of the RECENT predictions of each modality that have the newest chunk ids."""
    await walk_indexes(tx)
    return {
        modality: await _windows(tx, session_id, modality, BY_NEWEST_CHUNK, since.get(modality))
        for modality in Modality
    }


async def _windows(
    tx: Transaction, session_id: UUID, modality: Modality, recent: str, since: datetime | None
) -> Windows:
    row = await tx.driver.fetchrow(WINDOWS[modality].format(recent=recent), session_id, since)
    assert row is not None
    return Windows(*row)


async def lasting(tx: Transaction, session_ids: Collection[UUID]) -> Mapping[Place, Silence]:
    rows = await tx.driver.fetch(_LASTING, list(session_ids))
    return {(row["session_id"], Modality(row["modality"])): _silence(row) for row in rows}


async def boundary(tx: Transaction, session_id: UUID, modality: Modality) -> datetime | None:
    """Where the newest silence of a modality lay."""
    statement = (
        "SELECT max(greatest(since_time, resume_time)) FROM modality_silences WHERE session_id = $1 AND modality = $2"
    )
    found: datetime | None = await tx.driver.fetchval(statement, session_id, modality)
    return found


async def begin(tx: Transaction, session: SessionKey, silence: Silence) -> None:
    """The session has to be locked."""
    place = (session.session_id, silence.modality, silence.since_time)
    await tx.driver.execute(_BEGIN, *place, session.user_id, silence.cause, silence.receive_time)


async def end(tx: Transaction, session: SessionKey, silence: Silence) -> None:
    """The silence as it has ended."""
    place = (session.session_id, silence.modality, silence.since_time)
    await tx.driver.execute(_END, *place, silence.resume_time, silence.resume_receive_time)


async def of_session(tx: Transaction, session_id: UUID, newest_first: int | None = None) -> Sequence[Silence]:
    """Oldest first; the newest ones alone where a number of them is given."""
    rows = await tx.driver.fetch(
        "SELECT * FROM modality_silences WHERE session_id = $1 ORDER BY receive_time DESC, modality DESC LIMIT $2",
        session_id,
        newest_first,
    )
    return [_silence(row) for row in reversed(rows)]


async def running(tx: Transaction, session_ids: Collection[UUID]) -> Mapping[Place, datetime]:
    """When devices last said that modalities run, as far as it was written down."""
    rows = await tx.driver.fetch(
        "SELECT session_id, modality, running_time FROM modality_heartbeats WHERE session_id = ANY($1::uuid[])",
        list(session_ids),
    )
    return {(row["session_id"], Modality(row["modality"])): row["running_time"] for row in rows}


async def keep_running(tx: Transaction, running: Sequence[tuple[SessionKey, Modality, datetime]]) -> None:
    """In one order, lest two processes wait for each other. What is gone by now is left out."""
    rows = sorted((key.session_id, modality, key.user_id, time) for key, modality, time in running)
    await tx.driver.execute(_KEEP_RUNNING, *([row[column] for row in rows] for column in range(4)))


def _silence(row: "asyncpg.Record") -> Silence:
    return Silence(
        Modality(row["modality"]),
        row["since_time"],
        Cause(row["cause"]),
        row["receive_time"],
        row["resume_time"],
        row["resume_receive_time"],
    )
