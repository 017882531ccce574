"""Many predictions at once, made in the database."""

from uuid import UUID

from libs.common.db.database import Database, Transaction

EMOTIONS = ("neutral", "happy", "sad", "angry", "fear")

_VISION = """
INSERT INTO vision_predictions (id, session_id, user_id, chunk_id, capture_start_time, capture_end_time, receive_time,
    batch_number, batch_index, content_digest, emotion, confidence, distress_score, frames_processed, model_version)
SELECT chunk.id, s.id, s.user_id, chunk.id, s.started_at + n * interval '5 s', s.started_at + (n + 1) * interval '5 s',
    s.receive_time, n, 0, decode(md5(chunk.id::text), 'hex'), ($3::text[])[1 + n % 5], n % 10001 / 10000.0,
    n % 101 / 100.0, n % 200, 'face-' || n % 2
"""
_AUDIO = """
INSERT INTO audio_predictions (id, session_id, user_id, chunk_id, capture_start_time, capture_end_time, receive_time,
    batch_number, batch_index, content_digest, emotion, stress_score, confidence, pitch_mean, model_version)
SELECT chunk.id, s.id, s.user_id, chunk.id, s.started_at + n * interval '5 s', s.started_at + (n + 1) * interval '5 s',
    s.receive_time, n, 1, decode(md5(chunk.id::text), 'hex'), ($3::text[])[1 + n % 5], n % 101 / 100.0,
    n % 10001 / 10000.0, n % 400, 'voice-1'
"""
_TEXT = """
INSERT INTO text_predictions (id, session_id, user_id, chunk_id, capture_start_time, capture_end_time, receive_time,
    batch_number, batch_index, content_digest, transcript, transcript_state, risk_level, distress_probability,
    confidence, valence, cues, model_version)
SELECT chunk.id, s.id, s.user_id, chunk.id, s.started_at + n * interval '5 s', s.started_at + (n + 1) * interval '5 s',
    s.receive_time, n, 2, decode(md5(chunk.id::text), 'hex'), decode(repeat(md5(n::text), $4), 'hex'), 'sealed',
    (ARRAY['low', 'low', 'medium', 'high', 'critical'])[1 + n % 5], n % 101 / 100.0, n % 10001 / 10000.0,
    CASE WHEN n % 2 = 0 THEN n % 101 / 100.0 END, CASE WHEN n % 3 = 0 THEN $5::jsonb END, 'text-1'
"""
# A chunk's id is of its session and number, so that all modalities of a chunk have the same.
_CHUNKS = """
FROM unnest($1::uuid[]) AS asked (id) JOIN sessions s ON s.id = asked.id, generate_series(0, $2::int - 1) AS n,
    LATERAL (SELECT overlay(md5(s.id::text || n) placing '7' from 13)::uuid AS id) AS chunk
"""
CUES = (
    '{"extractor_version": "1", "language": "sw", "code_switching": false, "deflections": [], "topics": ["family"],'
    ' "coping": [], "first_person": 0.25, "negation": null, "absolutes": null, "crisis_signals": ["farewell"]}'
)


async def fill(database: Database, session_ids: list[UUID], chunks: int, transcript_bytes: int = 64) -> None:
    """Each session gets `chunks` chunks of five seconds with all modalities; transcripts are multiples of 16 bytes."""
    async with database.transaction() as tx:
        await _fill(tx, session_ids, chunks, transcript_bytes)


async def _fill(tx: Transaction, session_ids: list[UUID], chunks: int, transcript_bytes: int) -> None:
    for statement in (_VISION, _AUDIO):
        await tx.driver.execute(statement + _CHUNKS, session_ids, chunks, list(EMOTIONS))
    text = _TEXT.replace("$5", "$4").replace("$4)", "$3)", 1)
    await tx.driver.execute(text + _CHUNKS, session_ids, chunks, transcript_bytes // 16, CUES)
