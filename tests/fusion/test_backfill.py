"""Fusion's feed anew from its tables."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.db.database import Database
from quietus.fusion.v1.events_pb2 import ChunksFused, Event
from services.fusion.backfill import History
from services.fusion.fold import ChunkResult, Models
from services.fusion.store import history
from services.fusion.store.result_rows import result_in
from tests.fusion.events import apply, committed, ended, told
from tests.fusion.make import batch, chunk, predictions, said, shown

OTHER_SESSION = UUID("019ca800-0000-7000-8000-000000000002")
OTHER_PERSON = UUID("00000000-0000-4000-8000-000000000002")


async def backfilled(database: Database) -> list[Event]:
    async with database.read() as tx:
        return [Event.FromString(one.event) async for one in History(retention_days=3000).events(tx)]


async def test_what_was_never_revised_comes_as_it_was_told(database: Database, models: Models) -> None:
    mine = [batch(number, *predictions(chunk(number, shown(), shown(), said(0.1)))) for number in range(1, 6)]
    others = [
        batch(number, *predictions(chunk(number, text=said(0.3))), session_id=OTHER_SESSION, user_id=OTHER_PERSON)
        for number in range(1, 4)
    ]
    await apply(database, models, [*map(committed, mine), ended()], [*map(committed, others)])
    assert await backfilled(database) == await told(database)


async def test_of_many_results_one_batchs_are_in_memory(
    database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks_each = 100
    chunks = [chunk(number, shown()) for number in range(10 * chunks_each)]
    batches = [batch(number, *(p for one in chunks[number::10] for p in predictions(one))) for number in range(10)]
    await apply(database, models, [*map(committed, batches)])
    read: list[UUID] = []

    def counted(row: Any) -> ChunkResult:
        read.append(row["chunk_id"])
        return result_in(row)

    monkeypatch.setattr(history, "result_in", counted)
    async with database.read() as tx:
        fused = 0
        async for _ in History(retention_days=3000).events(tx):
            fused += chunks_each
            assert len(read) <= fused + chunks_each
    assert fused == len(read) == len(batches) * chunks_each


async def test_the_end_comes_after_the_batches(database: Database, models: Models) -> None:
    await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said()))))], [ended()])
    assert [event.WhichOneof("event") for event in await backfilled(database)] == ["chunks_fused", "session_settled"]


async def test_an_end_before_anything_comes_after_the_first_late_batch(database: Database, models: Models) -> None:
    first, second = (batch(number, *predictions(chunk(number, text=said(0.2)))) for number in (1, 2))
    late = [
        replace(one, receive_time=one.receive_time + timedelta(days=day)) for day, one in enumerate((first, second), 1)
    ]
    await apply(database, models, [ended(), *map(committed, late)])
    kinds = [event.WhichOneof("event") for event in await backfilled(database)]
    assert kinds == ["chunks_fused", "session_settled", "chunks_fused"]


async def test_a_revised_chunk_comes_once_with_the_batch_that_made_it_what_it_is(
    database: Database, models: Models
) -> None:
    early = [chunk(number, vision=shown(probability=0.6)) for number in range(3)]
    await apply(database, models, [committed(batch(1, *(p for one in early for p in predictions(one))))])
    await apply(database, models, [committed(batch(2, *predictions(chunk(0, audio=shown(probability=0.6)))))])
    events = [event.chunks_fused for event in await backfilled(database)]
    # The newest chunk is told again with the first, because the session's score moved.
    assert [described(event) for event in events] == [(1, [(1, 1)]), (2, [(0, 2), (2, 2)])]


def described(event: ChunksFused) -> tuple[int, list[Any]]:
    return event.batch_number, [(UUID(one.chunk_id).int & 0xFFFF, one.revision) for one in event.results]


async def test_a_client_that_takes_the_newest_revisions_ends_with_the_same(database: Database, models: Models) -> None:
    early = [chunk(number, vision=shown(probability=0.9)) for number in range(4)]
    late = [chunk(number, audio=shown(probability=0.9), text=said(0.9)) for number in (2, 0, 1)]
    await apply(database, models, [committed(batch(1, *(p for one in early for p in predictions(one))))])
    for number, one in enumerate(late, start=2):
        await apply(database, models, [committed(batch(number, *predictions(one)))])
    assert newest(await backfilled(database)).keys() == newest(await told(database)).keys()
    for chunk_id, result in newest(await backfilled(database)).items():
        assert result.revision == newest(await told(database))[chunk_id].revision
        assert result.level == newest(await told(database))[chunk_id].level


def newest(events: list[Event]) -> dict[str, Any]:
    return {result.chunk_id: result for event in events for result in event.chunks_fused.results}
