"""A million rows in each table of records, as an old deployment has them."""

import asyncpg

ROWS = 1_000_000
PEOPLE = 10_000
VIDEO_SESSIONS_WITH_EVENTS = 20_000
PEOPLE_IN_CARE = 1_000
# Every so many rows a critical event, or a session that is active.
RARE = 2_003
# One person and one video session have much more than the others: every five-hundredth row.
BUSY_PERSON, BUSY_VIDEO_SESSION = 7, 78


def _id(number: str) -> str:
    """Ordered by number, as UUIDv7 are by time, so that keys grow at their ends."""
    return f"CAST('00000000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0') AS uuid)"


_PERSON = _id(f"CASE WHEN n % 500 = 0 THEN {BUSY_PERSON} ELSE n % {PEOPLE} END")
_VIDEO_SESSION = _id(f"CASE WHEN n % 500 = 0 THEN {BUSY_VIDEO_SESSION} ELSE n % {VIDEO_SESSIONS_WITH_EVENTS} + 1 END")
_PEOPLE = f"""
INSERT INTO users (user_id, anonymous_id) SELECT {_id("n")}, 'anon_' || n FROM generate_series(0, {PEOPLE - 1}) n
"""  # noqa: S608 - numbers and names of ours, here and below
_CARE = f"""
INSERT INTO care_assignments (counselor_id, user_id, assign_time)
SELECT {_id(f"n / {PEOPLE_IN_CARE}")}, {_id("n")}, now() FROM generate_series(0, {PEOPLE - 1}) n
"""  # noqa: S608
_RECORDS = {
    "analysis_records": f"""
        (id, user_id, input_text, input_text_state, source, predicted_label, confidence, model_version,
         ai_processing_ms, submitted_at, analyzed_at, request_id, receive_time, content_digest)
        SELECT {_id("n")}, {_PERSON}, '', 'no_key', 'check_in', CASE WHEN n % 7 = 0 THEN 'low_mood' ELSE 'calm' END,
               0.5, 'text-1', 12, now(), now() - n * interval '1 second', {_id("n")}, now(), ''
    """,
    "video_sessions": f"""
        (id, user_id, stream_session_id, session_type, client_platform, status, started_at)
        SELECT {_id("n")}, {_PERSON}, 'room-' || n, 'check_in', 'web',
               CASE WHEN n % {RARE} = 0 THEN 'ACTIVE' WHEN n % 50 = 0 THEN 'FAILED' ELSE 'ENDED' END,
               now() - n * interval '1 second'
    """,
    "video_analysis_events": f"""
        (id, session_id, user_id, event_at, risk_level, confidence, signals, model_version, latency_ms, content_digest)
        SELECT {_id("n")}, {_VIDEO_SESSION}, {_PERSON}, now() - n * interval '1 second',
               CASE WHEN n % {RARE} = 0 THEN 'critical' WHEN n % 20 = 0 THEN 'high' ELSE 'low' END,
               0.5, '{{}}', 'video-1', 45, ''
    """,
    "voice_sessions": f"""
        (session_id, user_id, session_start, delete_after, processed, patterns_extracted, transcript_state,
         model_version, receive_time, content_digest)
        SELECT {_id("n")}, {_PERSON}, now() - n * interval '1 second', now() - n * interval '1 second',
               n > 2000, n > 2000, 'no_key', 'voice-1', now(), ''
    """,
}
TABLES = tuple(_RECORDS)
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE schemaname = 'ingest' AND tablename = $1 AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
"""


async def fill(admin_dsn: str) -> None:
    """Without a log and with indexes built afterwards, which changes how long it takes and nothing that is there."""
    connection = await asyncpg.connect(admin_dsn)
    try:
        await connection.execute("SET search_path = ingest; SET session_replication_role = replica")
        await connection.execute("SET maintenance_work_mem = '256MB'")
        await connection.execute(_PEOPLE)
        await connection.execute(_CARE)
        # What refers to another table can't be in the log while that one isn't.
        for table in sorted(TABLES):
            await connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
        for table, content in _RECORDS.items():
            indexes = await connection.fetch(_INDEXES, table)
            for index in indexes:
                await connection.execute(f"DROP INDEX {index['indexname']}")
            await connection.execute(f"INSERT INTO {table} {content} FROM generate_series(1, {ROWS}) n")
            for index in indexes:
                await connection.execute(index["indexdef"])
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
