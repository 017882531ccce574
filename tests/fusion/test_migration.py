"""Inputs that were kept before they were one row a batch, and after."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import make_url

from libs.common.db.migrate import differences, migrate_all
from tests.fusion import make
from tests.fusion.migrating import migrate_back
from tests.support import postgres

CHUNKS = [make.window(number).chunk_id for number in range(2)]
VISION, AUDIO, TEXT = 1, 2, 3
# Chunk, modality, batch number, hour of its reception. Of the second chunk two batches have one number.
KEPT = [(0, VISION, 1, 1), (0, AUDIO, 1, 1), (0, TEXT, 2, 2), (1, AUDIO, 3, 4), (1, VISION, 3, 3)]
PEOPLE = """
INSERT INTO fusion.users (user_id, anonymous_id) VALUES ($1, 'anon_1')
"""
SESSIONS = """
INSERT INTO fusion.session_states (session_id, user_id, chunks, capture_end_time, chunk_id, level, state_logit,
    state_seconds, session_score, level_cause, leading_reason, judged_chunk_ids, judged_directions)
VALUES ($1, $2, 2, now(), $3, 'low', 0, 0, 0, 'SCORE', 'NO_CONCERN', '{}', '{}')
"""
INPUTS = """
INSERT INTO fusion.chunk_inputs (session_id, user_id, chunk_id, modality, capture_start_time, capture_end_time,
    batch_number, receive_time, probability, confidence, emotion, distribution, level, signals, model_version)
VALUES ($1, $2, $3, $4::smallint, $5::timestamptz, $5, $6, $5 + make_interval(hours => $7), 0.1 * $4::smallint, 0.5,
    CASE WHEN $4 < 3 THEN 3 END, CASE WHEN $4 = 1 THEN ARRAY[0.25, 0.75] END, CASE WHEN $4 = 3 THEN 2 END,
    CASE WHEN $4 = 3 THEN ARRAY[1] END, 'simulated-1')
"""


@pytest.fixture
async def dsn(postgres_admin_dsn: str) -> AsyncIterator[str]:
    """The administrator's, in a database that has nothing."""
    made = await postgres.create_database(postgres_admin_dsn, "template1")
    yield made
    await postgres.drop_database(postgres_admin_dsn, made)


async def rows(connection: "asyncpg.Connection[Any]", columns: str) -> list[tuple[Any, ...]]:
    found = await connection.fetch(f"SELECT {columns} FROM fusion.chunk_inputs ORDER BY {columns}")  # noqa: S608
    return [tuple(row) for row in found]


async def test_inputs_come_through_the_migration_and_back(dsn: str) -> None:
    await asyncio.to_thread(migrate_all, dsn, ["fusion"])
    await migrate_back(dsn, "0005")
    connection = await asyncpg.connect(make_url(dsn).set(drivername="postgresql").render_as_string(False))
    try:
        await connection.execute(PEOPLE, make.USER_ID)
        await connection.execute(SESSIONS, make.SESSION_ID, make.USER_ID, CHUNKS[0])
        for chunk, modality, number, hours in KEPT:
            where = (make.SESSION_ID, make.USER_ID, CHUNKS[chunk], modality)
            await connection.execute(INPUTS, *where, make.START, number, hours)
        parts = "chunk_id, modality, batch_number, emotion, probability, distribution, level, signals, model_version"
        before = await rows(connection, parts)

        await asyncio.to_thread(migrate_all, dsn, ["fusion"])
        assert await asyncio.to_thread(differences, dsn, ["fusion"]) == []
        merged = await rows(
            connection,
            "chunk_id, batch_number, extract(hour FROM receive_time - capture_end_time)::int, vision_probability,"
            " audio_probability, text_probability",
        )
        assert merged == [
            (CHUNKS[0], 1, 1, 0.1, 0.2, None),
            (CHUNKS[0], 2, 2, None, None, pytest.approx(0.3)),
            (CHUNKS[1], 3, 3, 0.1, 0.2, None),
        ]
        await migrate_back(dsn, "0005")
        assert len(before) == len(KEPT)
        assert await rows(connection, parts) == before
    finally:
        await connection.close()
