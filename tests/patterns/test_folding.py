"""What the followers make of the feeds, on real Postgres."""

import pytest

from libs.common.db.database import Database
from libs.common.feed.handler import UnknownEvent
from quietus.common.v1.types_pb2 import RiskLevel
from quietus.fusion.v1.events_pb2 import Event as FusionEvent
from quietus.ingest.v1.events_pb2 import Event as IngestEvent
from quietus.ingest.v1.events_pb2 import VoiceSessionRecorded
from quietus.patterns.v1.events_pb2 import RiskAssessed
from services.patterns.app import handlers
from tests.conftest import MakeDatabase
from tests.patterns.feeds import (
    Batch,
    Chunk,
    End,
    Happening,
    apply,
    from_fusion,
    from_ingest,
    rows_of,
    session_id,
    told_by,
    user_id,
    waiting_in,
)

HANDLERS = handlers()


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("patterns")


async def ingest(database: Database, *history: Happening) -> None:
    await apply(database, HANDLERS["ingest"], [from_ingest(one) for one in history])


async def fuse(database: Database, *history: Happening) -> None:
    await apply(database, HANDLERS["fusion"], [from_fusion(one) for one in history])


async def assessed(database: Database, user: int = 0) -> list[RiskAssessed]:
    events = (await told_by(database)).get(str(user_id(user)), [])
    return [event.risk_assessed for event in events if event.HasField("risk_assessed")]


async def test_results_wait_for_their_facts_and_hold_up_nobody_else(database: Database) -> None:
    early, other = Batch(0, 1, 7, [Chunk(1, 0.3)]), Batch(1, 2, 1, [Chunk(1, 0.2)])
    await ingest(database, other)
    await fuse(database, early, other, Batch(0, 3, 1, [Chunk(1)]))
    assert await waiting_in(database) == 2
    assert len(await assessed(database, 1)) == 1
    assert await assessed(database, 0) == []

    await ingest(database, early)
    assert await waiting_in(database) == 1
    assert [one.assessment.session_id for one in await assessed(database)] == [str(session_id(1))]
    await ingest(database, Batch(0, 3, 1))
    assert await waiting_in(database) == 0
    assert len(await assessed(database)) == 2


async def test_more_events_than_a_page_wait_in_order(database: Database) -> None:
    history = [Batch(0, 1, number, [Chunk(number, 0.1 + (number % 7) / 10)]) for number in range(1, 150)]
    await fuse(database, *history)
    assert await waiting_in(database) == 149
    await ingest(database, *history)
    assert await waiting_in(database) == 0
    times = [one.assessment.assess_time.ToDatetime() for one in await assessed(database)]
    assert len(times) == 149
    assert times == sorted(times)


async def test_an_end_waits_for_ingests_end(database: Database) -> None:
    batch, end = Batch(0, 1, 1, [Chunk(1)]), End(0, 1)
    await ingest(database, batch)
    await fuse(database, batch, end)
    assert (await rows_of(database))["user_patterns"] == []
    await ingest(database, end)
    assert len((await rows_of(database))["user_patterns"]) == 1


async def test_a_session_that_ended_before_anything_was_fused_leaves_no_trace(database: Database) -> None:
    await ingest(database, End(0, 1))
    await fuse(database, End(0, 1))
    rows = await rows_of(database)
    assert (rows["session_features"], rows["user_patterns"]) == ([], [])
    assert await told_by(database) == {}


async def test_a_late_chunk_of_a_settled_session_counts(database: Database) -> None:
    first, end, late = Batch(0, 1, 1, [Chunk(5, 0.1)]), End(0, 1), Batch(0, 1, 2, [Chunk(1, 0.1, pitch_mean=180.0)])
    await ingest(database, first, end, late)
    await fuse(database, first, end)
    before = (await rows_of(database))["user_baselines"]
    assert not any("pitch_mean" in row for row in before)
    await fuse(database, late)
    rows = await rows_of(database)
    assert any("pitch_mean" in row for row in rows["user_baselines"])
    assert len(rows["user_patterns"]) == 1


async def test_only_material_changes_are_told_with_what_led_to_them(database: Database) -> None:
    history = [Batch(0, 1, number, [Chunk(number, score)]) for number, score in enumerate((0.2, 0.205, 0.5, 0.5), 1)]
    await ingest(database, *history)
    await fuse(database, *history)
    told = await assessed(database)
    assert [one.revision for one in told] == [1, 2]
    assert told[1].chunk_id.endswith(f"{1000 + 3 + 1:x}")
    assert told[1].HasField("receive_time")
    assert len((await rows_of(database))["risk_assessments"]) == 1


async def test_a_slow_decline_is_told_while_fusion_says_low(database: Database) -> None:
    for session in range(22):
        decline = max(0, session - 8)
        score, pitch = 0.1 + 0.01 * (session % 2) + 0.009 * decline, 200.0 - session % 3 - 4 * decline
        history: list[Happening] = [Batch(0, session, 1, [Chunk(1, score, pitch_mean=pitch)]), End(0, session)]
        await ingest(database, *history)
        await fuse(database, *history)
    told = [one.assessment for one in await assessed(database)]
    flagged = [one for one in told if one.level > RiskLevel.RISK_LEVEL_LOW]
    assert flagged
    assert flagged[0].session_id > str(session_id(8))
    assert {"BASELINE_DEVIATION", "RISING_PATTERN"} & set(flagged[0].risk_factors)
    assert not [one for one in told if one.session_id <= str(session_id(8)) and one in flagged]


async def test_an_event_of_a_kind_that_is_not_known_stops(database: Database) -> None:
    for handler in (HANDLERS["fusion"], HANDLERS["ingest"]):
        unknown = b"\x9a\x06\x00"  # field 99
        with pytest.raises(UnknownEvent):
            handler.read(unknown)
        with pytest.raises(UnknownEvent):
            await apply(database, handler, [unknown])


async def test_a_voice_session_as_a_whole_changes_nothing_but_whom_patterns_knows(database: Database) -> None:
    recorded = VoiceSessionRecorded(user_id=str(user_id(1)), anonymous_id="anon_voice")
    await apply(database, HANDLERS["ingest"], [IngestEvent(voice_session_recorded=recorded).SerializeToString()])
    rows = await rows_of(database)
    assert [table for table, found in rows.items() if found] == ["users"]


async def test_a_person_is_named_by_every_event(database: Database) -> None:
    for one in (Batch(3, 1, 1, [Chunk(1)]), End(3, 1)):
        assert HANDLERS["ingest"].read(from_ingest(one)).user_id == user_id(3)
        assert HANDLERS["fusion"].read(from_fusion(one)).user_id == user_id(3)
    assert FusionEvent.FromString(from_fusion(End(3, 1))).HasField("session_settled")


async def test_late_results_of_a_settled_session_raise_it(database: Database) -> None:
    calm, late = Batch(0, 1, 1, [Chunk(1, 0.05)]), Batch(0, 1, 2, [Chunk(2, 0.9, RiskLevel.RISK_LEVEL_CRITICAL)])
    await ingest(database, calm, End(0, 1), late)
    await fuse(database, calm, End(0, 1))
    before = (await assessed(database))[-1].assessment
    await fuse(database, late)
    after = (await assessed(database))[-1].assessment
    assert after.session_id == before.session_id
    assert after.level > before.level
    assert await calm_sessions(database) == 0


async def test_a_session_that_had_ended_before_its_first_result_is_settled_with_it(database: Database) -> None:
    late = Batch(0, 1, 1, [Chunk(1, 0.05)])
    await ingest(database, End(0, 1), late)
    await fuse(database, End(0, 1), late, End(0, 1))
    assert await calm_sessions(database) == 1


async def calm_sessions(database: Database) -> int:
    async with database.read() as tx:
        statement = "SELECT count(*) FROM session_features WHERE end_time IS NOT NULL AND highest_level = 'low'"
        return int(await tx.scalar(statement))


@pytest.mark.parametrize("kind", ["modality_silent", "modality_resumed"])
async def test_silences_of_modalities_change_nothing(database: Database, kind: str) -> None:
    await ingest(database, Batch(0, 1, 1, [Chunk(1)]))
    before = await rows_of(database)
    event = IngestEvent()
    about = getattr(event, kind)
    about.user_id, about.anonymous_id, about.session_id = str(user_id(0)), "person-0", str(session_id(1))
    await apply(database, HANDLERS["ingest"], [event.SerializeToString()])
    assert await rows_of(database) == before
