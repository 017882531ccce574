"""What a fault of ingest could tell: it parks its person, and no number that isn't finite is kept of anybody."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest
from structlog.testing import capture_logs

from libs.common.db.database import Database
from quietus.common.v1 import types_pb2
from quietus.ingest.v1 import predictions_pb2
from quietus.ingest.v1.events_pb2 import Event
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from quietus_edge.ids import uuid7
from services.fusion.fold import Models, SessionFold, Standing
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import InputArrays
from services.fusion.service import folding
from services.fusion.vocabulary import Emotion
from tests.fusion import make
from tests.fusion.events import apply, committed, table
from tests.fusion.make import MODEL, batch, chunk, predictions, said, shown
from tests.fusion.road import Road, assert_finite, parked

NAN, INFINITY = float("nan"), float("inf")
MANY = 10_000


def _vision(batch: PredictionBatch) -> predictions_pb2.VisionPrediction:
    return batch.predictions[0].vision


def _text(batch: PredictionBatch) -> predictions_pb2.TextPrediction:
    return batch.predictions[2].text


def twice(batch: PredictionBatch) -> None:
    batch.predictions.append(batch.predictions[0])


def repeat_label(vision: predictions_pb2.VisionPrediction, times: int) -> None:
    labels = [types_pb2.EMOTION_SAD] * times
    vision.distribution.CopyFrom(types_pb2.EmotionDistribution(labels=labels, probabilities=[1 / times] * times))


def another_window(batch: PredictionBatch) -> None:
    """The first chunk's id, at another time."""
    for one in batch.predictions:
        one.chunk_id = str(make.window(0).chunk_id)


# What only a fault of ingest could tell, and what no session may be left with.
FAULTS: Mapping[str, Callable[[PredictionBatch], Any]] = {
    "probability is NaN": lambda batch: setattr(_vision(batch), "distress_score", NAN),
    "probability above 1": lambda batch: setattr(_vision(batch), "distress_score", 1.5),
    "confidence is infinite": lambda batch: setattr(_vision(batch), "confidence", INFINITY),
    "text is NaN": lambda batch: setattr(_text(batch), "distress_probability", NAN),
    "valence is NaN": lambda batch: setattr(_text(batch), "valence", NAN),
    "valence below -1": lambda batch: setattr(_text(batch), "valence", -1.5),
    "a share is NaN": lambda batch: _vision(batch).distribution.probabilities.__setitem__(0, NAN),
    "a share is negative": lambda batch: _vision(batch).distribution.probabilities.__setitem__(0, -0.5),
    "a share is infinite": lambda batch: _vision(batch).distribution.probabilities.__setitem__(0, INFINITY),
    "no label": lambda batch: _vision(batch).distribution.labels.__setitem__(0, 0),
    "an unknown label": lambda batch: _vision(batch).distribution.labels.__setitem__(0, 77),
    "an unknown label of two bytes": lambda batch: _vision(batch).distribution.labels.__setitem__(0, 300),
    "a label twice": lambda batch: repeat_label(_vision(batch), 2),
    "forty labels": lambda batch: repeat_label(_vision(batch), 40),
    "labels alone": lambda batch: _vision(batch).distribution.ClearField("probabilities"),
    "shares alone": lambda batch: _vision(batch).distribution.ClearField("labels"),
    "more labels than shares": lambda batch: _vision(batch).distribution.labels.append(types_pb2.EMOTION_SAD),
    "no emotion": lambda batch: _vision(batch).ClearField("emotion"),
    "an unknown level": lambda batch: setattr(_text(batch), "risk_level", 9),
    "an unknown signal": lambda batch: _text(batch).cues.crisis_signals.append(9),  # type: ignore[arg-type]
    "no modality": lambda batch: batch.predictions[0].ClearField("vision"),
    "no predictions": lambda batch: batch.ClearField("predictions"),
    "no chunk": lambda batch: batch.predictions[0].ClearField("chunk_id"),
    "past the end of time": lambda batch: setattr(batch.predictions[0].capture_end_time, "seconds", 2**40),
    "a modality twice": twice,
    "another window of a known chunk": another_window,
}


def told(user_id: UUID, session_id: UUID, number: int, fault: Callable[[PredictionBatch], Any] | None = None) -> Event:
    shares = tuple(0.5 * (emotion in (Emotion.NEUTRAL, Emotion.SAD)) for emotion in Emotion)
    seen = shown(Emotion.SAD, 0.3, 0.8, shares)
    inputs = chunk(number, seen, shown(), said(0.2, valence=0.1))
    event = Event.FromString(committed(batch(number + 1, *predictions(inputs), session_id=session_id, user_id=user_id)))
    if fault:
        fault(event.predictions_committed.batch)
    return event


async def test_a_fault_of_ingest_parks_its_person_and_poisons_nobody(road: Road) -> None:
    people = {name: (uuid4(), uuid7()) for name in FAULTS}
    bystander, session_id = uuid4(), uuid7()
    with capture_logs() as logs:  # to render so many tracebacks takes long
        for name, fault in FAULTS.items():
            user_id, theirs = people[name]
            for number, wrong in enumerate((None, fault, None)):
                await road.tell(user_id, told(user_id, theirs, number, wrong))
        for number in range(3):
            await road.tell(bystander, told(bystander, session_id, number))
        await road.followed()
    assert sum(log["event"] == "feed event parked" for log in logs) == len(FAULTS)

    events = await parked(road)
    assert {name: events.get(user_id, 0) for name, (user_id, _) in people.items()} == dict.fromkeys(FAULTS, 2)
    assert bystander not in events
    rows = await table(road.fusion, "fusion_results")
    chunks = {name: sum(row["user_id"] == user_id for row in rows) for name, (user_id, _) in people.items()}
    assert chunks == dict.fromkeys(FAULTS, 1)
    assert sum(row["user_id"] == bystander for row in rows) == 3
    await assert_finite(road.fusion)
    assert {row["source"] for row in await table(road.fusion, "parked_events")} == {"ingest"}


def ends_before_its_start(batch: PredictionBatch) -> None:
    for one in batch.predictions:
        one.capture_start_time.seconds = one.capture_end_time.seconds + 5


ODD: Mapping[str, Callable[[PredictionBatch], Any]] = {
    "shares don't sum to 1": lambda batch: _vision(batch).distribution.probabilities.__setitem__(0, 0.1),
    "all shares are zero": lambda batch: _vision(batch).distribution.probabilities.__setitem__(slice(None), [0.0, 0.0]),
    "a distribution of nothing": lambda batch: _vision(batch).distribution.CopyFrom(types_pb2.EmotionDistribution()),
    "the end before the start": ends_before_its_start,
}


async def test_what_is_merely_odd_on_the_feed_still_gives_finite_numbers(road: Road) -> None:
    user_id, session_id = uuid4(), uuid7()
    for number, fault in enumerate(ODD.values()):
        await road.tell(user_id, told(user_id, session_id, number, fault))
    await road.followed()
    assert await parked(road) == {}
    assert len(await table(road.fusion, "fusion_results")) == len(ODD)
    await assert_finite(road.fusion)


def test_a_chunk_that_is_touched_ten_thousand_times_stands_as_if_it_were_touched_once() -> None:
    session = SessionFold(make.MODELS, Standing(), [], {})
    again = batch(1, *predictions(chunk(0, shown(probability=0.6), shown(probability=0.7), said(0.4))))
    touched = [session.merge(again)] * MANY
    many = iter(fuse_chunks(MODEL, InputArrays.of([one for chunks in touched for one in chunks])))
    for number, chunks in enumerate(touched, start=1):
        session.apply(number, chunks, [next(many)])
    once = SessionFold(make.MODELS, Standing(), [], {})
    once.apply(1, once.merge(again), fuse_chunks(MODEL, InputArrays.of(touched[0])))
    assert session.newest.revision == MANY
    assert replace(session.newest, revision=1, batch_number=1) == once.newest
    assert len(session.changes()) == 1


@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_no_extreme_of_any_modality_gives_an_infinite_number(extreme: float) -> None:
    sure = shown(Emotion.FEAR, extreme, 1.0)
    for one in (chunk(vision=sure), chunk(audio=sure), chunk(text=said(extreme, 1.0)), chunk(0, sure, sure, said(1.0))):
        (result,) = fuse_chunks(MODEL, InputArrays.of([one]))
        assert np.isfinite(
            [result.logit, result.score, result.confidence, *(p.logit for p in result.contributions)]
        ).all()


async def test_an_event_that_cannot_be_made_is_raised_when_the_rows_are_written(
    database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes the transaction back finds its connection free, and parks one person alone."""
    write, written = folding._write, []

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.05)
        written.append(await write(*arguments))
        return written[-1]

    def nothing(*arguments: Any) -> bytes:
        raise ValueError

    monkeypatch.setattr(folding, "_write", slowly)
    monkeypatch.setattr(folding, "chunks_fused", nothing)
    with pytest.raises(ValueError, match=r"^$"):
        await apply(database, models, [committed(batch(1, *predictions(chunk(0, text=said(0.2)))))])
    assert len(written) == 1
