"""The states of sessions."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any
from uuid import UUID

from libs.common.db.database import Transaction
from services.patterns.levels import Level
from services.patterns.session import Session
from services.patterns.store.jsonb import as_jsonb
from services.patterns.summary import FEATURES, CueCounts, Summary

_COLUMNS = (
    "session_id",
    "user_id",
    "newest_capture_time",
    "newest_chunk_id",
    "level",
    "critical_cue",
    "current_score",
    "facts_ordinal",
    "results_seen",
    "next_summary_at",
    "end_time",
    "chunks",
    "highest_level",
    "judged_chunks",
    "masking_chunks",
    "masking_strength",
    *FEATURES,
    "emotions",
    "cues",
)
_KEEP = f"""
INSERT INTO session_features ({", ".join(_COLUMNS)})
VALUES ({", ".join(f"${place}" for place in range(1, len(_COLUMNS) + 1))})
ON CONFLICT (session_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS[2:])}
"""  # noqa: S608 - our own column names
# (user_id, session_id DESC) finds each window without touching the table.
_WINDOWS = """
SELECT * FROM session_features WHERE session_id IN (
    SELECT of_window.session_id FROM unnest($1::uuid[], $2::uuid[]) AS told (user_id, session_id)
    CROSS JOIN LATERAL (
        SELECT session_id FROM session_features s WHERE s.user_id = told.user_id AND s.session_id <= told.session_id
        ORDER BY s.session_id DESC LIMIT $3
    ) AS of_window
)
"""
_NEWEST = UUID(int=2**128 - 1)


async def keep(tx: Transaction, sessions: Iterable[Session]) -> None:
    await tx.driver.executemany(_KEEP, [_values(session) for session in sessions])


async def windows(
    tx: Transaction, touched: Mapping[UUID, Iterable[UUID]], size: int
) -> dict[UUID, dict[UUID, Session]]:
    """For each user_id: the touched sessions with the `size` before each, and the newest of all."""
    wanted = [(user_id, session_id) for user_id, ids in touched.items() for session_id in (*ids, _NEWEST)]
    rows = await tx.driver.fetch(_WINDOWS, [one for one, _ in wanted], [other for _, other in wanted], size + 1)
    found: dict[UUID, dict[UUID, Session]] = {user_id: {} for user_id in touched}
    for row in rows:
        found[row["user_id"]][row["session_id"]] = _session(row)
    return found


def _values(session: Session) -> tuple[object, ...]:
    summary = session.summary
    return (
        session.session_id,
        session.user_id,
        session.newest_capture_time,
        session.newest_chunk_id,
        session.level.word,
        session.critical_cue,
        session.session_score,
        session.facts_ordinal,
        session.results_seen,
        session.next_summary_at,
        session.end_time,
        summary.chunks,
        summary.highest_level.word,
        summary.judged_chunks,
        summary.masking_chunks,
        summary.masking_strength,
        *(summary.features.get(name) for name in FEATURES),
        as_jsonb(summary.emotions),
        as_jsonb(asdict(summary.cues)),
    )


def _session(row: Mapping[str, Any]) -> Session:
    return Session(
        user_id=row["user_id"],
        session_id=row["session_id"],
        newest_capture_time=row["newest_capture_time"],
        newest_chunk_id=row["newest_chunk_id"],
        level=Level.of(row["level"]),
        session_score=row["current_score"],
        critical_cue=row["critical_cue"],
        facts_ordinal=row["facts_ordinal"],
        results_seen=row["results_seen"],
        next_summary_at=row["next_summary_at"],
        end_time=row["end_time"],
        summary=Summary(
            chunks=row["chunks"],
            highest_level=Level.of(row["highest_level"]),
            judged_chunks=row["judged_chunks"],
            masking_chunks=row["masking_chunks"],
            masking_strength=row["masking_strength"],
            features={name: row[name] for name in FEATURES if row[name] is not None},
            emotions=row["emotions"],
            cues=CueCounts(**row["cues"]),
        ),
    )
