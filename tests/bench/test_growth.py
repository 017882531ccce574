"""Rows that the bench makes are what ingest would have stored."""

from datetime import timedelta
from itertools import pairwise

import asyncpg

from bench.growth.fill import TABLES, Template, add_predictions, add_sessions, spread
from quietus.common.v1.types_pb2 import MODALITY_TEXT
from quietus.ingest.v1 import ingest_pb2
from tests.conftest import MakeDatabase
from tests.ingest import make
from tests.ingest.suite import running

CHUNKS = 25
KEYS = (
    "session_id, user_id, id, chunk_id, capture_start_time, capture_end_time, receive_time, batch_number, batch_index"
)


async def test_filled_sessions_are_read_like_any_other(make_database: MakeDatabase, fresh_dsn: str) -> None:
    async with running(make_database("ingest")) as suite:
        person = suite.person()
        session_id = await person.start_session()
        await person.record(session_id, make.batch(1, [*make.chunk(), *make.chunk(), *make.chunk()]))
        sessions = spread([person.user_id], 7, make.now() - timedelta(days=80), make.now() - timedelta(days=1))
        connection = await asyncpg.connect(fresh_dsn)
        await add_sessions(connection, sessions, CHUNKS)
        for table in TABLES:
            template = await Template.read(connection, table)
            assert await add_predictions(connection, template, sessions, CHUNKS) == 7 * CHUNKS
        await connection.close()
        for table in TABLES:
            assert await suite.count(table) == 3 + 7 * CHUNKS
        request = ingest_pb2.ListPredictionsRequest(
            session_id=str(sessions[3].session_id), modality=MODALITY_TEXT, page_size=1000
        )
        page = await suite.stub.ListPredictions(request, metadata=person.metadata)
        stored = page.predictions
        assert [one.batch_number for one in stored] == [n // 10 + 1 for n in range(CHUNKS)]
        starts = [one.prediction.capture_start_time.ToDatetime() for one in stored]
        assert starts[0] == sessions[3].start_time.replace(tzinfo=None)
        assert {after - before for before, after in pairwise(starts)} == {timedelta(seconds=5)}
        assert len({one.prediction.chunk_id for one in stored}) == CHUNKS
        assert all(one.prediction.HasField("text") for one in stored)
