"""CompareModels over a real channel: what another version would change in what is stored."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.errors import AppError
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import RISK_LEVEL_CRITICAL, RISK_LEVEL_HIGH, RISK_LEVEL_LOW
from quietus.fusion.v1 import models_pb2 as contract
from quietus.fusion.v1.models_pb2_grpc import ModelServiceStub
from quietus_edge.errors import reason_of
from quietus_edge.ids import uuid7
from services.fusion import comparing
from services.fusion.comparing import Comparisons, Question, Report
from services.fusion.comparison import MOST_EXAMPLES
from services.fusion.fold import Models
from services.fusion.models import SHIPPED
from services.fusion.records import BEGINNING
from services.fusion.store import comparing as store
from services.fusion.vocabulary import CrisisSignal
from tests.fusion import versions
from tests.fusion.events import apply, committed, table
from tests.fusion.make import MODEL, batch, chunk, predictions, said, shown
from tests.fusion.reference import reference
from tests.fusion.serving import ADMIN, refused, serving

LEVELS = ("low", "medium", "high", "critical")
ENTER = {"medium": 0.15, "high": 0.3, "critical": 0.8}
LEAVE = {"medium": 0.1, "high": 0.25, "critical": 0.7}
OPERATOR = "operator:test"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
PEOPLE = (UUID("00000000-0000-4000-8000-000000000001"), UUID("00000000-0000-4000-8000-000000000002"))
Answer = contract.CompareModelsResponse


def day(number: int) -> datetime:
    return NEW_YEAR + timedelta(days=number)


# One session a day, of two people in turn.
SESSION_IDS = [uuid7(day(number) + timedelta(hours=8)) for number in range(12)]
PERSON_OF = {session_id: PEOPLE[number % 2] for number, session_id in enumerate(SESSION_IDS)}


@pytest.fixture
async def stub(database: Database, models: Models, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ModelServiceStub]:
    # So that sessions cross pages and pages cross sessions.
    monkeypatch.setattr(comparing, "PAGE_CHUNKS", 7)
    monkeypatch.setattr(comparing, "PAGE_SESSIONS", 2)
    async with serving(database, models) as channel:
        yield ModelServiceStub(channel)


@pytest.fixture
async def sessions(database: Database, models: Models) -> None:
    order = random.Random(3)  # noqa: S311 - numbers that repeat
    for number, session_id in enumerate(SESSION_IDS):
        for each in range(12):
            distress = min(0.09 * number + order.random() * 0.3, 1.0)
            signals = frozenset({CrisisSignal.PLAN_OR_INTENT}) if (number, each) == (2, 9) else frozenset()
            one = chunk(
                each, audio=shown(probability=round(distress, 4)), text=said(round(distress, 4), signals=signals)
            )
            made = batch(each, *predictions(one), session_id=session_id, user_id=PERSON_OF[session_id])
            await apply(database, models, [committed(made)])


async def compared(stub: ModelServiceStub, request: contract.CompareModelsRequest) -> Answer:
    return [answer async for answer in stub.CompareModels(request, metadata=ADMIN)][-1]


async def of_person(database: Database, question: Question) -> Report:
    """As the command asks."""
    return [report async for report in Comparisons(database).compare(OPERATOR, question)][-1]


def matrix(counts: Iterable[contract.LevelCount]) -> dict[tuple[str, str], int]:
    return {(LEVELS[one.stored - 1], LEVELS[one.candidate - 1]): one.count for one in counts if one.count}


def other_levels(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A session's levels by other thresholds, from its stored scores: with hysteresis, and crises held to the end of a
    session as short as these.
    """
    level, in_crisis, levels = 0, False, []
    for row in rows:
        score = row["session_score"]
        while level < 3 and score >= ENTER[LEVELS[level + 1]]:
            level += 1
        while level > 0 and score < LEAVE[LEVELS[level]]:
            level -= 1
        in_crisis = in_crisis or row["critical_cue"]
        level = 3 if in_crisis else level
        levels.append(LEVELS[level])
    return levels


async def sessions_in(database: Database) -> dict[UUID, list[dict[str, Any]]]:
    rows: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(await table(database, "fusion_results"), key=lambda row: row["capture_end_time"]):
        rows[row["session_id"]].append(row)
    return rows


@pytest.mark.usefixtures("sessions")
async def test_other_thresholds_change_the_levels_that_they_should(stub: ModelServiceStub, database: Database) -> None:
    candidate = await versions.register(database, "eager-1", session__enter=ENTER, session__leave=LEAVE)
    answer = await compared(stub, contract.CompareModelsRequest(version="eager-1", checksum=candidate.checksum))
    chunks: Counter[tuple[str, str]] = Counter()
    highest: Counter[tuple[str, str]] = Counter()
    examples = {}
    for session_id, rows in (await sessions_in(database)).items():
        pairs = list(zip([row["final_risk"] for row in rows], other_levels(rows), strict=True))
        chunks.update(pairs)
        reached = max((one for one, _ in pairs), key=LEVELS.index), max((one for _, one in pairs), key=LEVELS.index)
        highest[reached] += 1
        if reached[0] != reached[1]:
            first = next(row for row, (stored, would) in zip(rows, pairs, strict=True) if stored != would)
            examples[str(session_id)] = str(first["chunk_id"])
    assert len(chunks) > 4
    assert matrix(answer.chunk_levels) == chunks
    assert matrix(answer.session_levels) == highest
    assert (len(answer.chunk_levels), len(answer.session_levels)) == (16, 16)
    assert {one.session_id: one.chunk_id for one in answer.examples} == examples
    opens = sum(count for (stored, would), count in highest.items() if stored in LEVELS[:2] and would in LEVELS[2:])
    assert answer.newly_alerting_sessions == opens > 0
    assert answer.no_longer_alerting_sessions == 0
    assert (answer.sessions, answer.total_sessions, answer.chunks) == (12, 12, 144)
    assert (answer.mean_score_change, answer.mean_session_score_change) == (0.0, 0.0)
    assert answer.done


@pytest.mark.usefixtures("sessions")
async def test_scores_change_as_a_reference_says(stub: ModelServiceStub, database: Database) -> None:
    candidate = await versions.register(database, "calm-1", distress__prior=0.02)
    answer = await compared(stub, contract.CompareModelsRequest(version="calm-1"))
    moved = []
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT * FROM chunk_inputs")
    inputs = {(row.session_id, row.chunk_id): row for row in rows}
    for session_id, results in (await sessions_in(database)).items():
        for number, result in enumerate(results):
            row = inputs[session_id, result["chunk_id"]]
            signals = frozenset({CrisisSignal.PLAN_OR_INTENT}) if result["critical_cue"] else frozenset()
            one = chunk(
                number,
                audio=shown(probability=row.audio_probability, confidence=row.audio_confidence),
                text=said(row.text_probability, row.text_confidence, signals=signals),
            )
            moved.append(abs(reference(candidate.model, one).score - reference(MODEL, one).score))
    assert answer.mean_score_change == pytest.approx(sum(moved) / len(moved), abs=1e-12)
    assert answer.mean_session_score_change > 0.01
    assert answer.no_longer_alerting_sessions > 0


@pytest.mark.usefixtures("sessions")
async def test_the_version_that_made_it_all_would_change_nothing(stub: ModelServiceStub) -> None:
    answer = await compared(stub, contract.CompareModelsRequest(version=SHIPPED))
    assert all(stored == would for stored, would in matrix(answer.chunk_levels))
    assert (answer.mean_score_change, answer.mean_session_score_change) == (0.0, 0.0)
    assert list(answer.examples) == []


@pytest.mark.usefixtures("sessions")
async def test_a_period_can_be_asked_for_and_a_person_by_operators_alone(
    stub: ModelServiceStub, database: Database
) -> None:
    period = contract.CompareModelsRequest(
        version=SHIPPED, start_time=to_timestamp(day(2)), end_time=to_timestamp(day(7))
    )
    answer = await compared(stub, period)
    assert (answer.sessions, answer.total_sessions, answer.chunks) == (5, 5, 60)
    of_days = await of_person(database, Question(SHIPPED, "", day(2), day(7), "anon_0002"))
    assert (of_days.tally.sessions, of_days.total_sessions, of_days.tally.chunks) == (2, 2, 24)
    everything = await of_person(database, Question(SHIPPED, "", anonymous_id="anon_0001"))
    assert (everything.tally.sessions, everything.total_sessions) == (6, 6)
    with pytest.raises(AppError, match="PERSON_NOT_FOUND"):
        await of_person(database, Question(SHIPPED, "", anonymous_id="anon_9999"))
    # An admin of the service may know who there is, and not how they are.
    assert [field.name for field in contract.CompareModelsRequest.DESCRIPTOR.fields] == [
        "version",
        "checksum",
        "start_time",
        "end_time",
    ]


@pytest.mark.usefixtures("sessions")
async def test_sessions_whose_inputs_are_gone_are_counted_apart(stub: ModelServiceStub, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM chunk_inputs WHERE session_id = :session_id", {"session_id": SESSION_IDS[3]})
        one = {"session_id": SESSION_IDS[4], "chunk_id": chunk(5).chunk_id}
        await tx.execute("DELETE FROM chunk_inputs WHERE session_id = :session_id AND chunk_id = :chunk_id", one)
    answer = await compared(stub, contract.CompareModelsRequest(version=SHIPPED))
    assert (answer.sessions, answer.expired_sessions, answer.total_sessions) == (10, 2, 12)
    assert (answer.chunks, answer.mean_session_score_change) == (120, 0.0)


@pytest.mark.usefixtures("sessions")
async def test_what_cant_be_compared_says_why(stub: ModelServiceStub, database: Database) -> None:
    await versions.register(database, "calm-1")
    early, late = to_timestamp(day(1)), to_timestamp(day(2))
    for request, status, reason in (
        (contract.CompareModelsRequest(version="of-nobody"), grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND"),
        (
            contract.CompareModelsRequest(version="calm-1", checksum="0" * 64),
            grpc.StatusCode.FAILED_PRECONDITION,
            "MODEL_CHECKSUM_MISMATCH",
        ),
        (
            contract.CompareModelsRequest(version="calm-1", start_time=to_timestamp(day(1) + timedelta(seconds=1))),
            grpc.StatusCode.INVALID_ARGUMENT,
            "PERIOD_NOT_WHOLE_DAYS",
        ),
        (
            contract.CompareModelsRequest(version="calm-1", start_time=late, end_time=early),
            grpc.StatusCode.INVALID_ARGUMENT,
            "PERIOD_INVALID",
        ),
        (
            contract.CompareModelsRequest(version="calm-1", checksum="x"),
            grpc.StatusCode.INVALID_ARGUMENT,
            "INVALID_FIELD",
        ),
    ):
        with refused(status, reason):
            await compared(stub, request)


@pytest.mark.usefixtures("sessions")
async def test_a_comparison_is_audited_and_changes_nothing(stub: ModelServiceStub, database: Database) -> None:
    await versions.register(database, "eager-1", session__enter=ENTER, session__leave=LEAVE)
    before = await table(database, "fusion_results")
    await compared(stub, contract.CompareModelsRequest(version="eager-1"))
    await of_person(database, Question("eager-1", "", anonymous_id="anon_0002"))
    assert await table(database, "fusion_results") == before
    entry, of_one = sorted(await table(database, "audit_logs"), key=lambda row: row["id"])
    assert (entry["action"], entry["resource_id"], entry["actor"]) == ("model.compare", "eager-1", "admin:anon_ad01")
    assert (entry["user_id"], of_one["user_id"], of_one["actor"]) == (None, PEOPLE[1], OPERATOR)


@pytest.fixture
async def patient_stub(fresh_dsn: str, models: Models) -> AsyncIterator[ModelServiceStub]:
    """It waits for locks for longer than any test takes."""
    patient = Database(dsn_for(fresh_dsn, slice_role("fusion")), "fusion", 3, 300.0, lock_timeout_seconds=300.0)
    async with serving(patient, models) as channel:
        yield ModelServiceStub(channel)
    await patient.close()


@pytest.mark.usefixtures("sessions")
async def test_one_at_a_time_and_a_cancelled_one_is_over(patient_stub: ModelServiceStub, database: Database) -> None:
    """The first waits for a table that somebody holds, so that it can't be done before it is cancelled."""
    stub, request = patient_stub, contract.CompareModelsRequest(version=SHIPPED)
    async with database.transaction() as tx:
        await tx.execute("LOCK TABLE chunk_inputs IN ACCESS EXCLUSIVE MODE")
        call = stub.CompareModels(request, metadata=ADMIN)
        assert not (await call.read()).done
        with refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "COMPARISON_BUSY"):
            await compared(stub, request)
        call.cancel()
        await until_free(stub, contract.CompareModelsRequest(version="of-nobody"))
    assert (await compared(stub, request)).done


async def until_free(stub: ModelServiceStub, unknown: contract.CompareModelsRequest) -> None:
    """Asks for what there isn't until nobody compares."""
    while True:
        try:
            await compared(stub, unknown)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) == "MODEL_NOT_FOUND":
                return
        await asyncio.sleep(0.01)


async def test_examples_are_some_of_each_kind(stub: ModelServiceStub, database: Database, models: Models) -> None:
    calm, alarmed = chunk(0, text=said(0.05)), chunk(0, text=said(0.9, 1.0))
    events = [
        committed(
            batch(1, *predictions(one), session_id=uuid7(day(number)), user_id=UUID(int=(4 << 76) + (2 << 62) + number))
        )
        for number, one in enumerate([calm] * (MOST_EXAMPLES + 3) + [alarmed])
    ]
    await apply(database, models, events)
    enter, leave = {"medium": 0.001, "high": 0.002, "critical": 0.9}, {"medium": 0.0005, "high": 0.001, "critical": 0.8}
    await versions.register(database, "eager-1", session__enter=enter, session__leave=leave)
    answer = await compared(stub, contract.CompareModelsRequest(version="eager-1"))
    kinds = Counter((one.stored, one.candidate) for one in answer.examples)
    assert kinds[RISK_LEVEL_LOW, RISK_LEVEL_HIGH] == MOST_EXAMPLES
    assert sum(kinds.values()) <= MOST_EXAMPLES + 1
    assert all(one.candidate != RISK_LEVEL_CRITICAL for one in answer.examples)
    assert answer.newly_alerting_sessions >= MOST_EXAMPLES + 3


async def test_pages_come_in_the_order_of_an_index(database: Database) -> None:
    async with database.read() as tx:
        await tx.driver.execute("SET LOCAL enable_seqscan = off")
        after = (SESSION_IDS[0], *BEGINNING)
        rows = await tx.driver.fetch(f"EXPLAIN {store.PAGE}", *after, SESSION_IDS[-1], 250)
    plan = "\n".join(row[0] for row in rows)
    assert "Index Scan" in plan
    assert "Sort" not in plan
