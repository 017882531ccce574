"""Many results and findings, as a deployment of some months has them."""

# ruff: noqa: S608  # numbers and names of ours
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import asyncpg

from libs.common.db.database import Database
from libs.common.db.partitions import ensure_partitions
from libs.common.db.roles import dsn_for, slice_role

ROWS = 100_000
SESSIONS = 1_000
PEOPLE = 100
CHUNKS = ROWS // SESSIONS
# Every so many findings is grave.
RARE = 2_003
FIRST = datetime(2026, 2, 1, tzinfo=UTC)
HOURS_APART = 2


def session_id(number: int) -> UUID:
    milliseconds = int((FIRST + timedelta(hours=number * HOURS_APART)).timestamp() * 1000)
    return UUID(f"{milliseconds:012x}70008000{number:012x}")


def chunk_id(number: int) -> UUID:
    return UUID(f"00000000000070008000{number:012x}")


def user_id(number: int) -> UUID:
    return UUID(f"00000000000040008000{number:012x}")


def end_time(session: int, place: int) -> datetime:
    """Of the capture of a session's chunk at this place, counted from 0."""
    return FIRST + timedelta(hours=session * HOURS_APART, seconds=10 * (place + 1))


# Of row n, which is chunk n % CHUNKS of session n / CHUNKS: a session's rows lie together, as they came.
_START = f"(timestamptz '{FIRST.isoformat()}' + n / {CHUNKS} * interval '{HOURS_APART} hours')"
_END = f"({_START} + (n % {CHUNKS} + 1) * interval '10 seconds')"
_SESSION = (
    f"CAST(lpad(to_hex(CAST(extract(epoch FROM {_START}) * 1000 AS bigint)), 12, '0') || '70008000'"
    f" || lpad(to_hex(n / {CHUNKS}), 12, '0') AS uuid)"
)
_CHUNK = "CAST('00000000000070008000' || lpad(to_hex(n), 12, '0') AS uuid)"
_USER = f"CAST('00000000000040008000' || lpad(to_hex(n / {CHUNKS} % {PEOPLE}), 12, '0') AS uuid)"
_STATE = "0.5, 10, 0.1, 'SCORE', 'NO_CONCERN'"
_STATEMENTS = (
    f"""
INSERT INTO users (user_id, anonymous_id)
SELECT {_USER}, 'anon_' || n FROM generate_series(0, {CHUNKS * PEOPLE - 1}, {CHUNKS}) n""",
    f"""
INSERT INTO session_states (session_id, user_id, chunks, capture_end_time, chunk_id, level, state_logit, state_seconds,
    session_score, level_cause, leading_reason, judged_chunk_ids, judged_directions)
SELECT {_SESSION}, {_USER}, {CHUNKS}, {_END}, {_CHUNK}, 'low', {_STATE}, '{{}}', '{{}}'
FROM generate_series({CHUNKS - 1}, {ROWS - 1}, {CHUNKS}) n""",
    f"""
INSERT INTO fusion_results (id, session_id, user_id, chunk_id, final_risk, final_score, confidence, modalities_used,
    capture_start_time, capture_end_time, revision, batch_number, model_version, numpy_version, exact_score,
    exact_confidence, logit, prior_logit, evidence, dissonance_direction, dissonance_score, critical_cue, state_logit,
    state_seconds, session_score, level_cause, leading_reason)
SELECT {_CHUNK}, {_SESSION}, {_USER}, {_CHUNK}, 'low', 0.1, 0.5, '[]', {_END} - interval '10 seconds', {_END}, 1,
    n % {CHUNKS} + 1, 'fusion-1', '2', 0.1, 0.5, -2.2, -2.2, 0.5, 'congruent', 0, false, {_STATE}
FROM generate_series(0, {ROWS - 1}) n""",
    f"""
INSERT INTO chunk_inputs (session_id, user_id, chunk_id, batch_number, capture_start_time, capture_end_time,
    receive_time, vision_emotion, vision_probability, vision_confidence, vision_model_version)
SELECT {_SESSION}, {_USER}, {_CHUNK}, n % {CHUNKS} + 1, {_END} - interval '10 seconds', {_END}, {_END}, 1, 0.1, 0.5,
    'face-1'
FROM generate_series(0, {ROWS // 4 - 1}) n""",
    f"""
INSERT INTO dissonance_records (id, user_id, session_id, chunk_id, stated_emotion, actual_emotion, dissonance_score,
    interpretation, risk_level, detected_at, direction, evidence_chunk_ids)
SELECT {_CHUNK}, {_USER}, {_SESSION}, {_CHUNK}, 'happy', 'sad', n % 9973 / 9973.0, 'MASKING_MOMENT',
    CASE WHEN n % {RARE} = 0 THEN 'high' ELSE 'low' END, {_END}, 'masking', '{{}}'
FROM generate_series(0, {ROWS - 1}) n""",
)


async def fill(admin_dsn: str) -> None:
    database = Database(dsn_for(admin_dsn, slice_role("fusion")), "fusion", 1)
    try:
        async with database.transaction() as tx:
            await ensure_partitions(tx, date(2026, 2, 1), 3)
    finally:
        await database.close()
    connection = await asyncpg.connect(admin_dsn, server_settings={"search_path": "fusion"})
    try:
        await connection.execute("SET session_replication_role = replica")  # no look-up of foreign keys
        for statement in _STATEMENTS:
            await connection.execute(statement)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
