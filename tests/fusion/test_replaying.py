"""ReplaySession over a real channel: every bit of a session from its inputs; what doesn't come out again is found."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.db.migrate import migrate_all
from libs.common.people.access import Access
from libs.common.rpc.caller import Caller
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_COUNSELOR, ROLE_DEVICE, ROLE_USER
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from services.fusion.fold import ClientBatch, Models
from services.fusion.models import SHIPPED
from services.fusion.records import BEGINNING
from services.fusion.science.arithmetic import ARITHMETIC
from services.fusion.service import replaying
from services.fusion.service.registry import KnownModels
from services.fusion.service.replaying import SessionReplay
from services.fusion.vocabulary import CrisisSignal, Emotion
from tests.fusion import make, versions
from tests.fusion.events import apply, committed, table
from tests.fusion.make import SESSION_ID, batch, chunk, predictions, said, shown
from tests.fusion.migrating import migrate_back
from tests.fusion.serving import COUNSELOR_ID, OWN, refused, serving, take_into_care, token

CHUNKS = 60
SAD = tuple(float(emotion is Emotion.SAD) for emotion in Emotion)
PART = 16
RESULT, RECORD, STATE, MISSING = (
    contract.REPLAYED_ROW_RESULT,
    contract.REPLAYED_ROW_DISSONANCE_RECORD,
    contract.REPLAYED_ROW_SESSION_STATE,
    contract.REPLAYED_ROW_MISSING_RESULT,
)


def shuffled_batches(order: random.Random) -> list[ClientBatch]:
    """One session: masking, calm and a crisis, modalities shuffled over batches, so that many chunks are revised and
    many come late.
    """
    arriving = []
    for number in range(CHUNKS):
        weights = [order.randint(0, 9) for _ in Emotion]
        distribution = SAD if number % 2 else tuple(weight / sum(weights) for weight in weights)
        signals = frozenset({CrisisSignal.FAREWELL}) if number == CHUNKS // 2 else frozenset()
        one = chunk(
            number,
            vision=shown(order.choice(list(Emotion)), order.randint(0, 9999) / 10_000, distribution=distribution),
            audio=shown(order.choice(list(Emotion)), order.randint(0, 9999) / 10_000, distribution=distribution)
            if number % 3
            else None,
            text=said(order.randint(0, 5000) / 10_000, valence=order.choice([-0.7, 0.7, 0.7, None]), signals=signals),
        )
        arriving.extend(predictions(one))
    order.shuffle(arriving)
    cuts = sorted(order.sample(range(1, len(arriving)), 25))
    parts = [arriving[first:last] for first, last in zip([0, *cuts], [*cuts, len(arriving)], strict=True)]
    return [batch(number, *part) for number, part in enumerate(parts, start=1)]


@pytest.fixture
async def stub(database: Database, models: Models, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FusionServiceStub]:
    monkeypatch.setattr(replaying, "PART_CHUNKS", PART)
    async with serving(database, models) as channel:
        yield FusionServiceStub(channel)


@pytest.fixture
async def session(database: Database, models: Models) -> None:
    """Its second half is fused by another version, which also revises what the first one made."""
    candidate = await versions.register(
        database, "other-1", session__memory_seconds=60.0, dissonance__window_chunks=5, dissonance__said_positive=0.65
    )
    batches = shuffled_batches(random.Random(7))  # noqa: S311 - a shuffle that repeats
    half = len(batches) // 2
    await apply(database, models, *([committed(one)] for one in batches[:half]))
    await versions.switch(database, candidate)
    later = [replace(one, receive_time=datetime.now(UTC) + timedelta(days=1)) for one in batches[half:]]
    await apply(database, models, *([committed(one)] for one in later))


async def replayed(stub: FusionServiceStub, page_token: str = "") -> list[contract.ReplaySessionResponse]:
    request = contract.ReplaySessionRequest(session_id=str(SESSION_ID), page_token=page_token)
    return [part async for part in stub.ReplaySession(request, metadata=OWN)]


async def differences(stub: FusionServiceStub) -> list[contract.ReplayDifference]:
    return [one for part in await replayed(stub) for one in part.differences]


async def change(database: Database, statement: str, chunk_id: UUID | None = None) -> None:
    """As somebody with the database's password could."""
    async with database.transaction() as tx:
        await tx.execute(statement, {"chunk_id": chunk_id} if chunk_id else None)


def nth(number: int) -> UUID:
    return make.window(number).chunk_id


@pytest.mark.usefixtures("session")
async def test_every_bit_comes_out_again(stub: FusionServiceStub, database: Database) -> None:
    parts = await replayed(stub)
    rows = await table(database, "fusion_results")
    assert {row["model_version"] for row in rows} == {SHIPPED, "other-1"}
    assert max(row["revision"] for row in rows) > 2
    assert len(await table(database, "dissonance_records")) > 5
    assert [one for part in parts for one in part.differences] == []
    assert [part.chunks for part in parts] == [16, 32, 48, 60]
    assert all(part.identical and part.total_chunks == CHUNKS for part in parts)
    assert [part.done for part in parts] == [False, False, False, True]
    assert {part.arithmetic for part in parts} == {ARITHMETIC} == {row["numpy_version"] for row in rows}


@pytest.mark.usefixtures("session")
async def test_rows_older_than_a_column_dont_differ(stub: FusionServiceStub, database: Database) -> None:
    await change(database, "UPDATE fusion_results SET vision_fitted = NULL, audio_fitted = NULL")
    assert await differences(stub) == []


@pytest.mark.usefixtures("session")
async def test_sessions_from_before_states_kept_more_judged_chunks_dont_differ(
    stub: FusionServiceStub, database: Database, fresh_dsn: str
) -> None:
    await migrate_back(fresh_dsn, "0008")
    await change(
        database,
        "UPDATE session_states SET judged_chunk_ids = judged_chunk_ids[9:], judged_directions = judged_directions[9:]",
    )
    assert {one.row for one in await differences(stub)} == {STATE}
    await asyncio.to_thread(migrate_all, fresh_dsn, ["fusion"])
    assert await differences(stub) == []


@pytest.mark.usefixtures("session")
async def test_a_cut_stream_goes_on_where_it_was(stub: FusionServiceStub, database: Database) -> None:
    await change(database, "UPDATE fusion_results SET logit = logit + 1 WHERE chunk_id = :chunk_id", nth(20))
    parts = await replayed(stub)
    rest = await replayed(stub, parts[0].page_token)
    assert [len(part.differences) for part in rest] == [1, 0, 0]
    assert [part.chunks for part in rest] == [16, 32, 44]
    assert rest[-1].done
    other = contract.ReplaySessionRequest(session_id=str(uuid4()), page_token=parts[0].page_token)
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await stub.ReplaySession(other, metadata=OWN).read()


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("audio_logit = audio_logit + 1e-15", ["audio_logit"]),
        ("emotion_sad = emotion_sad * (1 + 3e-16)", ["emotion_sad"]),
        ("final_score = 0.1234", ["final_score"]),
        ("final_risk = CASE final_risk WHEN 'low' THEN 'high' ELSE 'low' END", ["final_risk"]),
        ("modalities_used = '[\"vision\"]'", ["modalities_used"]),
        ("capture_start_time = capture_start_time - interval '1 microsecond'", ["capture_start_time"]),
        ("leading_reason = 'NOTHING_KNOWN'", ["leading_reason"]),
    ],
)
async def test_a_changed_value_is_found_where_it_is(
    stub: FusionServiceStub, database: Database, statement: str, names: list[str]
) -> None:
    await change(database, f"UPDATE fusion_results SET {statement} WHERE chunk_id = :chunk_id", nth(19))  # noqa: S608
    (found,) = await differences(stub)
    assert (found.row, found.chunk_id, found.rounding_only) == (RESULT, str(nth(19)), False)
    assert [value.name for value in found.values] == names
    assert all(value.stored != value.replayed for value in found.values)


@pytest.mark.usefixtures("session")
async def test_changed_states_are_found_at_the_ends_of_parts_too(stub: FusionServiceStub, database: Database) -> None:
    for number in (PART - 1, PART, CHUNKS - 1):
        await change(
            database,
            "UPDATE fusion_results SET state_logit = state_logit + 1e-9 WHERE chunk_id = :chunk_id",
            nth(number),
        )
    found = await differences(stub)
    assert [UUID(one.chunk_id) for one in found] == [nth(number) for number in (PART - 1, PART, CHUNKS - 1)]


@pytest.mark.usefixtures("session")
async def test_records_are_compared_row_by_row(stub: FusionServiceStub, database: Database) -> None:
    records = await table(database, "dissonance_records")
    first, second = sorted(records, key=lambda row: row["detected_at"])[:2]
    await change(
        database, "UPDATE dissonance_records SET interpretation = 'X' WHERE chunk_id = :chunk_id", first["chunk_id"]
    )
    await change(database, "DELETE FROM dissonance_records WHERE chunk_id = :chunk_id", second["chunk_id"])
    stray = (
        "INSERT INTO dissonance_records (id, user_id, session_id, chunk_id, dissonance_score, detected_at, direction,"
        " evidence_chunk_ids) SELECT gen_random_uuid(), user_id, session_id, gen_random_uuid(), 0.5, detected_at,"
        " direction, evidence_chunk_ids FROM dissonance_records WHERE chunk_id = :chunk_id"
    )
    await change(database, stray, first["chunk_id"])
    found = await differences(stub)
    assert {one.row for one in found} == {RECORD}
    assert sorted(
        (value.name, value.stored == "no row", value.replayed == "no row") for one in found for value in one.values
    ) == [
        ("interpretation", False, False),
        ("row", False, True),
        ("row", True, False),
    ]


@pytest.mark.usefixtures("session")
@pytest.mark.parametrize(
    "column",
    [
        "chunks = chunks + 1",
        "level = CASE level WHEN 'critical' THEN 'low' ELSE 'critical' END",
        "judged_directions[1] = CASE judged_directions[1] WHEN 1 THEN 2 ELSE 1 END",
    ],
)
async def test_the_sessions_state_is_compared(stub: FusionServiceStub, database: Database, column: str) -> None:
    await change(database, f"UPDATE session_states SET {column}")  # noqa: S608
    (state,) = await differences(stub)
    assert (state.row, state.chunk_id) == (STATE, "")
    assert [value.name for value in state.values] == [column.partition(" ")[0].partition("[")[0]]


@pytest.mark.usefixtures("session")
async def test_a_result_that_was_taken_away_is_missed(stub: FusionServiceStub, database: Database) -> None:
    await change(database, "DELETE FROM fusion_results WHERE chunk_id = :chunk_id", nth(30))
    found = await differences(stub)
    assert [one.chunk_id for one in found if one.row == MISSING] == [str(nth(30))]


@pytest.mark.usefixtures("session")
async def test_another_platforms_rounding_is_named_and_nothing_more_is_allowed(
    stub: FusionServiceStub, database: Database
) -> None:
    for number, off in ((4, "1e-13"), (5, "1e-9"), (6, "0")):
        await change(
            database,
            f"UPDATE fusion_results SET numpy_version = '1.0.0 elsewhere', exact_score = exact_score + {off}"  # noqa: S608
            " WHERE chunk_id = :chunk_id",
            nth(number),
        )
    found = {UUID(one.chunk_id): one for one in await differences(stub)}
    assert found[nth(4)].rounding_only
    assert not found[nth(5)].rounding_only
    assert {one.stored_arithmetic for one in (found[nth(4)], found[nth(5)])} == {"1.0.0 elsewhere"}
    assert nth(6) not in found


@pytest.mark.usefixtures("session")
async def test_equal_levels_are_asked_of_every_platform(stub: FusionServiceStub, database: Database) -> None:
    await change(
        database,
        "UPDATE fusion_results SET numpy_version = '1.0.0 elsewhere',"
        " final_risk = CASE final_risk WHEN 'low' THEN 'high' ELSE 'low' END WHERE chunk_id = :chunk_id",
        nth(4),
    )
    (found,) = await differences(stub)
    assert not found.rounding_only


@pytest.mark.usefixtures("session")
async def test_inputs_that_are_gone_are_said_to_be(stub: FusionServiceStub, database: Database) -> None:
    await change(database, "DELETE FROM chunk_inputs WHERE chunk_id = :chunk_id", nth(40))
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "INPUTS_EXPIRED"):
        await replayed(stub)


@pytest.mark.usefixtures("session")
async def test_a_version_that_nobody_knows_is_said_to_be(stub: FusionServiceStub, database: Database) -> None:
    await change(
        database, "UPDATE fusion_results SET model_version = 'of-another-build' WHERE chunk_id = :chunk_id", nth(40)
    )
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_FOUND"):
        await replayed(stub)


@pytest.mark.usefixtures("session", "stub")
async def test_a_session_that_goes_on_meanwhile_agrees(database: Database, models: Models) -> None:
    """Late chunks move what is stored of parts that were compared and of parts that weren't."""
    caller = Caller(make.USER_ID, ROLE_USER, frozenset(), "anon_0001", None, None, datetime.max.replace(tzinfo=UTC))
    replay = SessionReplay(database, Access(database), KnownModels(models)).parts(caller, SESSION_ID, BEGINNING)
    parts = [await anext(replay)]
    late = [chunk(number, audio=shown(Emotion.SAD, 0.99, 1.0)) for number in (3, 24, CHUNKS)]
    for number, one in enumerate(late):
        await apply(database, models, [committed(batch(100 + number, *predictions(one)))])
    parts.extend([part async for part in replay])
    assert [one for part in parts for one in part.differences] == []
    assert sum(part.chunks for part in parts) == CHUNKS + 1
    assert parts[-1].last is None


@pytest.mark.usefixtures("session")
async def test_nobody_replays_a_strangers_session(stub: FusionServiceStub, database: Database) -> None:
    request = contract.ReplaySessionRequest(session_id=str(SESSION_ID))
    for metadata in (token(uuid4()), token(COUNSELOR_ID, ROLE_COUNSELOR)):
        with refused(grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND"):
            await stub.ReplaySession(request, metadata=metadata).read()
    for metadata in (token(make.USER_ID, ROLE_DEVICE), token(uuid4(), ROLE_ADMIN)):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await stub.ReplaySession(request, metadata=metadata).read()
    await take_into_care(database)
    parts = [part async for part in stub.ReplaySession(request, metadata=token(COUNSELOR_ID, ROLE_COUNSELOR))]
    assert parts[-1].done
    looks = [row for row in await table(database, "audit_logs") if row["action"] == "read"]
    assert [row["user_id"] for row in looks] == [make.USER_ID]
