"""Rows are read as they were written: every subset of modalities, with and without what may be missing."""

import random
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import orjson
import pytest

from libs.common.db.database import Database
from services.fusion.columns import FusedParts
from services.fusion.fold import ChangedResult, ChunkResult, Models
from services.fusion.records import BEGINNING
from services.fusion.science.inputs import ChunkInputs, Said, Shown
from services.fusion.store import inputs, results
from services.fusion.store.packed_results import fused_fields
from services.fusion.store.result_rows import COLUMNS, row_of
from services.fusion.vocabulary import CrisisSignal, Emotion, Level
from tests.fusion import make
from tests.fusion.events import apply, committed
from tests.fusion.fold_support import folded
from tests.fusion.make import batch, chunk, predictions, said


def any_shown(order: random.Random) -> Shown | None:
    if order.random() < 0.2:
        return None
    shares = [0.0] * len(Emotion)
    for _ in range(64):
        shares[order.randrange(len(Emotion))] += 1 / 64  # which the wire's floats hold exactly
    distribution = tuple(shares) if order.random() < 0.7 else None
    return Shown(order.choice(list(Emotion)), score(order), score(order), distribution, order.choice(["v1", "é" * 32]))


def any_said(order: random.Random) -> Said:
    signals = frozenset(order.sample(list(CrisisSignal), order.randrange(4)))
    valence = score(order) if order.random() < 0.7 else None
    return Said(order.choice(list(Level)), score(order), score(order), valence, order.random() < 0.5, signals, "text-1")


def score(order: random.Random) -> float:
    return order.randrange(10_001) / 10_000


def session(seed: int) -> list[ChunkInputs]:
    order = random.Random(seed)  # noqa: S311 - numbers that repeat
    return [
        chunk(number, any_shown(order), any_shown(order), any_said(order) if number % 5 else said())
        for number in range(60)
    ]


@pytest.mark.parametrize("at_once", [1, 60])
async def test_inputs_and_results_are_read_as_they_were(at_once: int, database: Database, models: Models) -> None:
    chunks = session(at_once)
    batches = [
        batch(first + 1, *(one for chunk in chunks[first : first + at_once] for one in predictions(chunk)))
        for first in range(0, len(chunks), at_once)
    ]
    await apply(database, models, [committed(one) for one in batches])
    async with database.read() as tx:
        known = await inputs.read(tx, [(make.SESSION_ID, one.chunk_id) for one in chunks])
        stored = await results.read_page(tx, make.SESSION_ID, BEGINNING, len(chunks))
    assert known[make.SESSION_ID] == {one.chunk_id: one for one in chunks}
    expected = folded(chunks) if at_once == 1 else [replace(one, batch_number=1) for one in folded(chunks)]
    assert [without_judged(one) for one in stored] == [without_judged(one) for one in expected]


@pytest.mark.parametrize("stored", ["{}", "{1}", "{0.5,0.5}"])
async def test_stored_distribution_without_a_share_for_each_emotion_is_refused(
    stored: str, database: Database, models: Models
) -> None:
    one = chunk(1, Shown(Emotion.SAD, 1.0, 1.0, (1.0,) + (0.0,) * (len(Emotion) - 1), "v1"))
    await apply(database, models, [committed(batch(1, *predictions(one)))])
    async with database.transaction() as tx:
        await tx.execute(f"UPDATE chunk_inputs SET vision_distribution = '{stored}'")  # noqa: S608 - of this test
        with pytest.raises(ValueError, match="not a share for each emotion"):
            await inputs.read(tx, [(make.SESSION_ID, one.chunk_id)])


async def test_rows_are_packed_as_replays_compare_them(database: Database, models: Models) -> None:
    chunks = session(2)
    await apply(database, models, [committed(batch(number, *predictions(one))) for number, one in enumerate(chunks, 1)])
    async with database.read() as tx:
        stored = await results.read_stored_page(tx, make.SESSION_ID, BEGINNING, len(chunks))
    for row, result in zip(stored, folded(chunks), strict=True):
        cells = dict(zip(COLUMNS, row_of(make.SESSION_ID, make.USER_ID, result), strict=True))
        cells["modalities_used"] = orjson.loads(cells["modalities_used"])
        assert {name: row[name] for name in COLUMNS} == cells


def without_judged(result: ChunkResult) -> str:
    return repr(replace(result, standing=replace(result.standing, state=replace(result.state, judged=()))))


async def test_scores_are_rounded_as_decimals_are(database: Database, models: Models) -> None:
    await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said()))))])
    scores = [0.0, 1.0, 0.00005, 0.00015, 0.99995, 0.99994999, 0.12345, 0.5, 1e-300]
    (one,) = folded([chunk(0, text=said())])
    changes = [
        ChangedResult(
            replace(one, chunk_id=UUID(int=number), fused=one.fused._replace(score=score, confidence=1.0 - score)),
            is_stored=False,
            is_explained=False,
            finding=None,
        )
        for number, score in enumerate(scores)
    ]
    async with database.transaction() as tx:
        await results.write(tx, [(make.SESSION_ID, make.USER_ID, changes)], FusedParts(fused_fields))
    async with database.read() as tx:
        rows = await tx.driver.fetch("SELECT * FROM fusion_results WHERE chunk_id < $1", UUID(int=len(scores)))
    for row in rows:
        assert row["final_score"] == Decimal(f"{row['exact_score']:.4f}")
        assert row["confidence"] == Decimal(f"{row['exact_confidence']:.4f}")
    assert sorted(row["exact_score"] for row in rows) == sorted(scores)
