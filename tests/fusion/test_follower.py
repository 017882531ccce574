"""Following ingest on a real database: neither grouping nor arrival changes what comes out."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from libs.common.db.database import Database, Transaction
from libs.common.feed.handler import UnknownEvent
from quietus.ingest.v1.events_pb2 import Event, VoiceSessionRecorded
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_OFF
from services.fusion.fold import ClientBatch, Models, Standing
from services.fusion.follower import IngestHandler
from services.fusion.models import SHIPPED
from services.fusion.science.inputs import ChunkInputs
from services.fusion.store import results
from services.fusion.store.results import Place
from services.fusion.vocabulary import CrisisSignal, Emotion, Modality
from tests.fusion import make
from tests.fusion.events import apply, committed, ended, everything, resumed, silent, started, table, told
from tests.fusion.make import batch, chunk, predictions, said, shown

SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)
CRISIS = frozenset({CrisisSignal.FAREWELL})
OTHER_SESSION = UUID("019ca800-0000-7000-8000-000000000002")
OTHER_PERSON = UUID("00000000-0000-4000-8000-000000000002")


HELD = """
SELECT count(*) FROM pg_locks
WHERE pid = pg_backend_pid() AND relation = 'session_states'::regclass AND mode = 'RowExclusiveLock'
"""


def masking_session(chunks: int = 10) -> list[ChunkInputs]:
    return [
        chunk(
            number,
            vision=shown(Emotion.SAD, 0.7, distribution=SAD),
            audio=shown(Emotion.SAD, 0.1 * (number % 7)) if number % 3 else None,
            text=said(0.05, valence=0.6, deflection=True),
        )
        for number in range(chunks)
    ]


def random_batches(order: random.Random) -> list[ClientBatch]:
    """Two people with a session each, of chunks of any length at any time; modalities arrive shuffled, some late."""
    made = []
    for session_id, user_id in ((make.SESSION_ID, make.USER_ID), (OTHER_SESSION, OTHER_PERSON)):
        lived = [
            make.at(one, timedelta(seconds=order.uniform(0, 7200)), timedelta(seconds=order.uniform(0, 90)))
            for one in masking_session(8)
        ]
        arriving = [prediction for one in lived for prediction in predictions(one)]
        crisis = chunk(order.randint(8, 12), text=said(0.8, signals=frozenset({CrisisSignal.FAREWELL})))
        arriving.extend(predictions(crisis))
        order.shuffle(arriving)
        number = 0
        while arriving:
            number, size = number + 1, order.randint(1, 4)
            made.append(batch(number, *arriving[:size], session_id=session_id, user_id=user_id))
            arriving = arriving[size:]
    return made


def grouped(events: Sequence[bytes], order: random.Random) -> list[list[bytes]]:
    groups, rest = [], list(events)
    while rest:
        size = order.randint(1, 6)
        groups.append(rest[:size])
        rest = rest[size:]
    return groups


@pytest.mark.parametrize("seed", range(3))
async def test_grouping_changes_neither_rows_nor_events(
    seed: int, database: Database, models: Models, second_database: Database
) -> None:
    order = random.Random(seed)  # noqa: S311 - a shuffle that repeats
    at = make.window(3).capture_end_time
    quiet = [silent(Modality.VISION, at), resumed(Modality.VISION, at, at + make.LENGTH), silent(Modality.AUDIO, at)]
    events = [started(), *map(committed, random_batches(order)), ended(), ended(OTHER_SESSION, OTHER_PERSON)]
    for one in quiet:
        events.insert(order.randint(1, len(events)), one)
    await apply(database, models, *([event] for event in events))
    await apply(second_database, models, *grouped(events, order))
    assert await everything(second_database) == await everything(database)
    assert await told(second_database) == await told(database)


async def test_arrival_changes_only_what_counts_arrivals(
    database: Database, models: Models, second_database: Database
) -> None:
    chunks = masking_session()
    in_order = [batch(number, *predictions(one)) for number, one in enumerate(chunks, start=1)]
    backwards = [batch(number, *predictions(one)) for number, one in enumerate(reversed(chunks), start=1)]
    await apply(database, models, *([committed(one)] for one in in_order))
    await apply(second_database, models, *([committed(one)] for one in backwards))
    for name in ("fusion_results", "session_states", "llm_explanations", "dissonance_records"):
        rows = [await table(each, name, "revision", "batch_number") for each in (database, second_database)]
        assert rows[0] == rows[1]


@pytest.mark.parametrize("together", [False, True])
async def test_two_batches_of_one_number_are_fused_like_any_others(
    together: bool, database: Database, models: Models, second_database: Database
) -> None:
    """A sender that lost count, or sends a batch again with more in it."""
    parts = predictions(chunk(0, shown(Emotion.SAD, 0.7), shown(probability=0.4), said(0.6, signals=CRISIS)))
    alike = [
        replace(batch(1, one), receive_time=make.START + timedelta(minutes=minute))
        for minute, one in enumerate((*parts, *predictions(chunk(1, text=said(0.2)))), start=1)
    ]
    counted = [replace(one, batch_number=number) for number, one in enumerate(alike, start=1)]
    for slice_, batches in ((database, alike), (second_database, counted)):
        events = [committed(one) for one in batches]
        await apply(slice_, models, *([events] if together else ([event] for event in events)))
    for name in ("fusion_results", "session_states", "llm_explanations", "dissonance_records"):
        assert await table(database, name, "batch_number") == await table(second_database, name, "batch_number")
    brought = [row for row in await table(database, "chunk_inputs") if row["chunk_id"] == alike[0].chunks[0].chunk_id]
    columns = ("receive_time", "vision_emotion", "audio_probability", "text_probability")
    assert [tuple(row[column] for column in columns) for row in brought] == [
        (alike[0].receive_time, Emotion.SAD, 0.4, 0.6)
    ]


async def test_what_a_batch_becomes(database: Database, models: Models) -> None:
    one = masking_session(2)[1]
    await apply(database, models, [committed(batch(7, *predictions(one)))])
    (row,) = await table(database, "fusion_results")
    assert row["user_id"] == make.USER_ID
    assert row["modalities_used"] == ["vision", "audio", "text"]
    assert row["final_risk"] == "low"
    assert (row["revision"], row["batch_number"], row["model_version"]) == (1, 7, SHIPPED)
    assert row["computed_at"] == row["capture_end_time"] == one.capture_end_time
    assert row["final_score"] == Decimal(f"{row['exact_score']:.4f}")
    assert row["prior_logit"] + row["vision_logit"] + row["audio_logit"] + row["text_logit"] == row["logit"]
    (brought,) = await table(database, "chunk_inputs")
    assert (brought["batch_number"], brought["vision_emotion"], brought["text_valence"]) == (7, Emotion.SAD, 0.6)
    (record,) = await table(database, "dissonance_records")
    assert (record["stated_emotion"], record["actual_emotion"]) == ("happy", "sad")
    assert (record["interpretation"], record["risk_level"], record["transcript"]) == ("MASKING_MOMENT", "low", None)
    (explanation,) = await table(database, "llm_explanations")
    assert explanation["recommended_action_level"] == "monitor"


async def test_one_event_a_batch_and_the_end_after_all_of_them(database: Database, models: Models) -> None:
    first, second = (batch(number, *predictions(chunk(number, text=said(0.2)))) for number in (1, 2))
    await apply(database, models, [started(), committed(first), committed(second), ended()])
    kinds = [event.WhichOneof("event") for event in await told(database)]
    assert kinds == ["chunks_fused", "chunks_fused", "session_settled"]
    fused = [event.chunks_fused for event in (await told(database))[:2]]
    assert [event.batch_number for event in fused] == [1, 2]
    assert [len(event.results) for event in fused] == [1, 1]
    assert not fused[0].results[0].HasField("explanation")


async def test_a_revision_that_masks_no_longer_takes_its_record_away(database: Database, models: Models) -> None:
    masked = chunk(0, vision=shown(distribution=SAD), text=said(valence=0.6))
    happy = tuple(float(emotion is Emotion.HAPPY) for emotion in Emotion)
    await apply(database, models, [committed(batch(1, *predictions(masked)))])
    assert len(await table(database, "dissonance_records")) == 1
    await apply(database, models, [committed(batch(2, *predictions(chunk(0, audio=shown(distribution=happy)))))])
    (row,) = await table(database, "fusion_results")
    assert row["dissonance_direction"] == "congruent"
    assert await table(database, "dissonance_records") == []


async def test_a_late_crisis_raises_what_came_after_it(database: Database, models: Models) -> None:
    calm = [chunk(number, text=said(0.05)) for number in (1, 2)]
    await apply(database, models, [committed(batch(1, *(p for one in calm for p in predictions(one))))])
    crisis = chunk(0, text=said(0.9, signals=frozenset({CrisisSignal.ACTIVE_IDEATION})))
    await apply(database, models, [committed(batch(2, *predictions(crisis)))])
    newest = (await told(database))[-1].chunks_fused
    assert [(result.revision, result.level, result.critical_cue) for result in newest.results] == [
        (1, 4, True),
        (2, 4, False),
        (2, 4, False),
    ]
    (state,) = await table(database, "session_states")
    assert (state["level"], state["level_cause"], state["chunks"]) == ("critical", "CRISIS_CUE_HELD", 3)


async def test_a_chunk_that_a_late_crisis_no_longer_reaches_says_that_it_is_over(
    database: Database, models: Models, second_database: Database
) -> None:
    """A day later nothing is left of it in the state, so that only the level before the chunk is another one."""
    calm = [chunk(number, text=said(0.05)) for number in (1, 10_000)]
    crisis = chunk(0, text=said(0.9, signals=frozenset({CrisisSignal.ACTIVE_IDEATION})))
    events = [committed(batch(number, *predictions(one))) for number, one in enumerate((*calm, crisis), start=1)]
    await apply(database, models, *([event] for event in events))
    await apply(second_database, models, events)
    explained = await table(database, "llm_explanations")
    assert {row["chunk_id"] for row in explained} == {one.chunk_id for one in (*calm, crisis)}
    assert await everything(second_database) == await everything(database)


async def test_a_session_that_ends_without_a_chunk_is_settled(database: Database, models: Models) -> None:
    await apply(database, models, [started(), ended()])
    assert [event.WhichOneof("event") for event in await told(database)] == ["session_settled"]


async def test_a_voice_session_as_a_whole_changes_nothing_but_whom_fusion_knows(
    database: Database, models: Models
) -> None:
    person = str(uuid4())
    event = Event(voice_session_recorded=VoiceSessionRecorded(user_id=person, anonymous_id="anon_voice"))
    assert str(IngestHandler(models).read(event.SerializeToString()).user_id) == person
    await apply(database, models, [event.SerializeToString()])
    assert [row["anonymous_id"] for row in await table(database, "users")] == ["anon_voice"]
    assert await told(database) == []


async def test_an_end_before_anything_is_told_again_after_the_first_late_batch(
    database: Database, models: Models, second_database: Database
) -> None:
    first, second = (batch(number, *predictions(chunk(number, text=said(0.2)))) for number in (1, 2))
    events = [started(), ended(), committed(first), committed(second)]
    await apply(database, models, events)
    await apply(second_database, models, *([event] for event in events))
    kinds = [event.WhichOneof("event") for event in await told(database)]
    assert kinds == ["session_settled", "chunks_fused", "session_settled", "chunks_fused"]
    assert await told(second_database) == await told(database)


async def test_silences_are_kept_until_they_are_over(database: Database, models: Models) -> None:
    at = make.window(3).capture_end_time
    await apply(
        database,
        models,
        [started(), silent(Modality.VISION, at, SILENCE_CAUSE_OFF), silent(Modality.AUDIO, at)],
        [silent(Modality.AUDIO, at), resumed(Modality.AUDIO, at, at + make.LENGTH)],
    )
    rows = await table(database, "modality_silences")
    assert {(row["modality"], row["since_time"], row["reason"], row["resume_time"]) for row in rows} == {
        (Modality.VISION, at, "OFF", None),
        (Modality.AUDIO, at, "SILENT", at + make.LENGTH),
    }
    assert await told(database) == []


async def test_an_unknown_kind_stops(models: Models, database: Database) -> None:
    with pytest.raises(UnknownEvent):
        IngestHandler(models).read(Event().SerializeToString())
    with pytest.raises(UnknownEvent):
        await apply(database, models, [Event().SerializeToString()])


async def test_deleting_a_person_deletes_everything_of_theirs(database: Database, models: Models) -> None:
    two_people = random_batches(random.Random(1))  # noqa: S311 - a shuffle that repeats
    await apply(database, models, [*map(committed, two_people), ended()])
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM users WHERE user_id = :user_id", {"user_id": make.USER_ID})
    left = await everything(database)
    assert left["session_ends"] == []
    assert {row["user_id"] for rows in left.values() for row in rows} == {OTHER_PERSON}


async def test_sessions_are_locked_before_their_results_are_read(
    database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As who makes partitions does: the other way round they would wait for each other."""
    held: list[int] = []
    read = results.read_standings_before

    async def noted(tx: Transaction, places: Sequence[Place]) -> Mapping[UUID, Standing]:
        held.append(await tx.scalar(HELD))
        return await read(tx, places)

    monkeypatch.setattr(results, "read_standings_before", noted)
    late, *others = masking_session(3)
    await apply(database, models, [committed(batch(1, *(one for chunk in others for one in predictions(chunk))))])
    await apply(database, models, [committed(batch(2, *predictions(late)))])
    assert held == [1]
