"""ReviewThresholds over a real channel: what it counts is what is stored, and it changes nothing."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_status import rpc_status

from libs.common.db.database import Database
from libs.common.feed.tail import Tail
from libs.common.observability.metrics import Metrics
from libs.common.rpc.client import Metadata
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.timestamps import to_timestamp
from quietus.alerts.v1.alerts_pb2 import NOISE_REASON_RECORDING, RESOLUTION_REASON_UNREACHABLE
from quietus.common.v1.options_pb2 import ROLE_ADMIN, ROLE_COUNSELOR, ROLE_SERVICE, ROLE_USER
from quietus.fusion.v1 import fusion_pb2 as contract
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus_edge.errors import reason_of
from quietus_edge.ids import uuid7
from services.fusion.app import make_parts
from services.fusion.fold import Models
from services.fusion.settings import FusionSettings
from services.fusion.store import courses, outcomes
from services.fusion.thresholds import FALSE_PEOPLE_NEEDED, TRUE_PEOPLE_NEEDED
from services.fusion.vocabulary import CrisisSignal
from tests.common.rpc.harness import serving
from tests.fusion.events import apply, committed, everything, table, told
from tests.fusion.make import MODEL, batch, chunk, predictions, said, shown
from tests.fusion.outcomes import FALSE_ALARM, SAFE_NOW, closed, follow_alerts

if TYPE_CHECKING:
    from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceAsyncStub

NOW = datetime.now(UTC)
CLOSED = NOW - timedelta(days=5)
TRUE_DISTRESS, FALSE_DISTRESS = 0.95, 0.7
HIGH = MODEL.session.enter["high"]


@dataclass(frozen=True)
class Office:
    stub: "FusionServiceAsyncStub"
    admin: Metadata
    others: list[Metadata]

    async def review(self, **wanted: object) -> contract.ReviewThresholdsResponse:
        return await self.stub.ReviewThresholds(contract.ReviewThresholdsRequest(**wanted), metadata=self.admin)


@pytest.fixture
async def office(database: Database, models: Models) -> AsyncIterator[Office]:
    parts = make_parts(FusionSettings(port=0), database, models, Tail(database, Metrics("fusion")))
    async with serving(parts) as at:
        tokens = at.tokens
        others = [
            tokens.metadata(ROLE_USER, UUID(int=1), "anon_1"),
            tokens.metadata(ROLE_COUNSELOR, UUID(int=2), "anon_2"),
            tokens.metadata(ROLE_SERVICE, service="alerts"),
        ]
        yield Office(FusionServiceStub(at.channel), tokens.metadata(ROLE_ADMIN, UUID(int=3), "anon_3"), others)


def user(number: int) -> UUID:
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def session(number: int) -> UUID:
    return uuid7(NOW - timedelta(days=10, seconds=number), lambda bits: number)


def distress(number: int, probability: float, *, cue: bool = False, chunks: int = 4) -> bytes:
    """A session of the number-th person, in which everything says the same."""
    signals = frozenset({CrisisSignal.FAREWELL}) if cue else frozenset[CrisisSignal]()
    face = shown(probability=probability, confidence=0.9)
    content = [
        one
        for index in range(chunks)
        for one in predictions(chunk(index, face, face, said(probability, 0.9, signals=signals)))
    ]
    return committed(batch(1, *content, session_id=session(number), user_id=user(number)))


async def fill(database: Database, models: Models, true: int, false: int) -> None:
    """People 0 to 99 had true alarms, from 100 on false ones, 200 a crisis cue, and 300 none."""
    truly, falsely = range(true), range(100, 100 + false)
    sessions = [distress(number, TRUE_DISTRESS) for number in truly]
    sessions += [distress(number, FALSE_DISTRESS) for number in falsely]
    sessions += [distress(200, 0.1, cue=True), distress(300, 0.05)]
    await apply(database, models, sessions)
    cases = [
        closed(number, SAFE_NOW, user_id=user(number), session_ids=[session(number)], close_time=CLOSED)
        for number in (*truly, 200)
    ]
    cases += [
        closed(
            number,
            FALSE_ALARM,
            user_id=user(number),
            session_ids=[session(number)],
            close_time=CLOSED,
            noise_reason=NOISE_REASON_RECORDING,
        )
        for number in falsely
    ]
    await follow_alerts(database, *cases)


@pytest.fixture
async def enough(database: Database, models: Models) -> None:
    await fill(database, models, TRUE_PEOPLE_NEEDED, FALSE_PEOPLE_NEEDED)


async def sessions_at(database: Database, threshold: float) -> int:
    async with database.read() as tx:
        count: int = await tx.scalar(
            "SELECT count(DISTINCT session_id) FROM fusion_results WHERE session_score >= :threshold OR critical_cue",
            {"threshold": threshold},
        )
    return count


@pytest.mark.usefixtures("enough")
async def test_proposals_say_what_they_would_have_done(office: Office, database: Database) -> None:
    before = await everything(database), await told(database), await table(database, "case_outcomes")
    review = await office.review()
    basis = review.basis
    assert (basis.decided_true, basis.decided_false) == (TRUE_PEOPLE_NEEDED, FALSE_PEOPLE_NEEDED)
    assert (basis.raised_by_cue, basis.cases) == (1, TRUE_PEOPLE_NEEDED + FALSE_PEOPLE_NEEDED + 1)
    assert (basis.sessions, basis.sessions_in_period) == (basis.cases + 1, basis.cases + 1)
    assert [(one.reason, one.cases) for one in basis.noise] == [("recording", FALSE_PEOPLE_NEEDED)]
    assert review.current.high_sessions == basis.cases == await sessions_at(database, HIGH)
    (proposal,) = review.proposals
    assert proposal.thresholds.enter_high > HIGH
    assert proposal.false_alarms_avoided.count == FALSE_PEOPLE_NEEDED
    assert (proposal.true_alarms_lost.count, proposal.true_alarms_lost.low) == (0, 0.0)
    assert 0.0 < proposal.true_alarms_lost.high <= 0.1
    assert proposal.high_sessions == await sessions_at(database, proposal.thresholds.enter_high)
    assert (await everything(database), await told(database), await table(database, "case_outcomes")) == before


@pytest.mark.usefixtures("enough")
async def test_a_candidates_effect_is_told_too(office: Office, database: Database) -> None:
    lower = contract.ThresholdCandidate(enter_high=0.3)
    beyond = contract.ThresholdCandidate(enter_high=0.98, enter_critical=0.99)
    review = await office.review(candidates=[lower, beyond, contract.ThresholdCandidate()])
    first, second, third = review.candidates
    assert first.high_sessions == await sessions_at(database, 0.3)
    assert (first.true_alarms_lost.count, first.false_alarms_avoided.count) == (0, 0)
    assert second.high_sessions == second.critical_sessions == 1
    assert second.true_alarms_lost.count == TRUE_PEOPLE_NEEDED
    assert third == review.current


@pytest.mark.usefixtures("enough")
async def test_an_answer_names_nobody(office: Office, database: Database) -> None:
    answer = str(await office.review())
    for row in await table(database, "case_outcomes"):
        assert str(row["user_id"]) not in answer
        assert str(row["session_ids"][0]) not in answer
    assert "anon_" not in answer
    (entry,) = await table(database, "audit_logs")
    assert (entry["user_id"], entry["action"]) == (None, "thresholds.review")


async def test_too_few_outcomes_say_how_many_there_are(office: Office, database: Database, models: Models) -> None:
    await fill(database, models, true=3, false=2)
    unreachable = closed(900, RESOLUTION_REASON_UNREACHABLE, user_id=user(1), close_time=CLOSED)
    long_ago = closed(901, user_id=user(1), close_time=NOW - timedelta(days=91))
    await follow_alerts(database, unreachable, long_ago)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.review()
    assert (refused.value.code(), reason_of(refused.value)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "TOO_FEW_OUTCOMES",
    )
    assert metadata_of(refused.value) == {
        "cases": "7",
        "true_alarm_people": "3",
        "true_alarm_people_needed": str(TRUE_PEOPLE_NEEDED),
        "false_alarm_people": "2",
        "false_alarm_people_needed": str(FALSE_PEOPLE_NEEDED),
    }


def metadata_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None
    info = ErrorInfo()
    status.details[0].Unpack(info)
    return dict(info.metadata)


async def test_only_admins_may_ask(office: Office) -> None:
    for metadata in office.others:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.stub.ReviewThresholds(contract.ReviewThresholdsRequest(), metadata=metadata)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"start_time": to_timestamp(NOW), "end_time": to_timestamp(NOW)}, "PERIOD_INVALID"),
        ({"start_time": to_timestamp(NOW - timedelta(days=400)), "end_time": to_timestamp(NOW)}, "PERIOD_INVALID"),
        ({"end_time": to_timestamp(datetime(1, 1, 2, tzinfo=UTC))}, "PERIOD_INVALID"),
        ({"end_time": to_timestamp(datetime(2026, 3, 1, 0, 0, 1, tzinfo=UTC))}, "PERIOD_NOT_WHOLE_DAYS"),
        ({"candidates": [contract.ThresholdCandidate(enter_high=0.1)]}, "THRESHOLDS_INVALID"),
        (
            {"candidates": [contract.ThresholdCandidate(enter_high=0.8, enter_critical=0.7)]},
            "THRESHOLDS_INVALID",
        ),
        ({"candidates": [contract.ThresholdCandidate(enter_critical=1.0)]}, "THRESHOLDS_INVALID"),
        ({"candidates": [contract.ThresholdCandidate(enter_high=1.1)]}, "INVALID_FIELD"),
        ({"candidates": [contract.ThresholdCandidate(enter_high=float("nan"))]}, "INVALID_FIELD"),
        ({"candidates": [contract.ThresholdCandidate()] * 21}, "INVALID_FIELD"),
    ],
)
async def test_bad_questions_are_refused(office: Office, wanted: dict[str, object], reason: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.review(**wanted)
    assert (refused.value.code(), reason_of(refused.value)) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_review_that_takes_too_long_is_given_up(
    office: Office, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slowly(tx: object, *bounds: object) -> int:
        count: int = await tx.driver.fetchval("SELECT count(*) FROM (SELECT pg_sleep(60)) AS sleeping")  # type: ignore[attr-defined]
        return count

    monkeypatch.setattr(courses, "count_started", slowly)
    monkeypatch.setattr("services.fusion.service.reviewing.STATEMENT_SECONDS", 0.05)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.review()
    assert (refused.value.code(), reason_of(refused.value)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "REVIEW_TOO_LARGE",
    )


async def test_one_review_runs_at_a_time(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def waiting(*arguments: object) -> int:
        entered.set()
        await go_on.wait()
        return 0

    monkeypatch.setattr(courses, "count_started", waiting)
    first = asyncio.ensure_future(office.review())
    await entered.wait()
    for reason in ("REVIEW_BUSY", "TOO_FEW_OUTCOMES"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.review()
        assert reason_of(refused.value) == reason
        go_on.set()
        await asyncio.wait([first])
    assert reason_of(first.exception()) == "TOO_FEW_OUTCOMES"  # type: ignore[arg-type]


async def test_a_review_that_counts_is_still_the_only_one(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    counting, go_on = threading.Event(), threading.Event()

    def slowly(*arguments: object) -> None:
        counting.set()
        go_on.wait(60)
        raise AppError(ErrorKind.FAILED_PRECONDITION, "TOO_FEW_OUTCOMES")

    monkeypatch.setattr("services.fusion.service.reviewing._review", slowly)
    first = asyncio.ensure_future(office.review())
    await asyncio.to_thread(counting.wait, 60)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await office.review()
    finally:
        go_on.set()
        await asyncio.wait([first])
    assert reason_of(refused.value) == "REVIEW_BUSY"
    assert reason_of(first.exception()) == "TOO_FEW_OUTCOMES"  # type: ignore[arg-type]


@pytest.mark.usefixtures("enough")
async def test_scores_of_another_model_dont_count(office: Office, database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(
            "UPDATE fusion_results SET model_version = 'of-another-build' WHERE session_id = :id", {"id": session(0)}
        )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await office.review()
    assert metadata_of(refused.value)["true_alarm_people"] == str(TRUE_PEOPLE_NEEDED - 1)


@pytest.mark.usefixtures("enough")
async def test_scores_of_a_model_that_scores_alike_count(office: Office, database: Database) -> None:
    """The two differ in dissonance alone."""
    before = await office.review()
    async with database.transaction() as tx:
        await tx.execute("UPDATE fusion_results SET model_version = 'fusion-1'")
    assert MODEL.version != "fusion-1"
    assert await office.review() == before


@pytest.mark.usefixtures("enough")
async def test_the_newest_sessions_are_counted_when_there_are_too_many(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "MOST_SESSIONS", 5)
    basis = (await office.review()).basis
    assert (basis.sessions, basis.sessions_in_period) == (5, basis.cases + 1)


async def test_courses_hold_when_each_height_was_first_reached(database: Database, models: Models) -> None:
    """As Python finds it in the rows."""
    probabilities = [0.2, 0.9, 0.1, 0.95, 0.95, 0.05]
    content = [one for n, p in enumerate(probabilities) for one in predictions(chunk(n, text=said(p, 1.0)))]
    crisis = predictions(chunk(6, text=said(0.1, signals=frozenset({CrisisSignal.SELF_HARM}))))
    await apply(database, models, [committed(batch(1, *content, *crisis, session_id=session(1), user_id=user(1)))])
    rows = sorted(await table(database, "fusion_results"), key=lambda row: row["capture_end_time"])
    async with database.read() as tx:
        found = await courses.read_among(tx, [session(1), session(2)], [MODEL.version])
    assert list(found) == [session(1)]
    course = found[session(1)]
    best = [row for i, row in enumerate(rows) if all(row["session_score"] > one["session_score"] for one in rows[:i])]
    assert [*course.scores] == [row["session_score"] for row in best]
    assert [*course.times] == [row["capture_end_time"] for row in best]
    assert len(best) < len(rows)
    assert (course.warning_time, course.crisis_time) == (None, rows[6]["capture_end_time"])
    assert course.is_comparable
    assert course.user_id == user(1)


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (courses._NEWEST, (session(9), session(0), 10, 1000)),
        (courses._AMONG, ([session(1)], 1000)),
        (courses._COUNT, (session(9), session(0), 10)),
        (courses._COURSES, ([session(1)], [MODEL.version])),
        (outcomes._CLOSED, (CLOSED, NOW, 10)),
        (outcomes._EXPIRED, (session(1), 10)),
    ],
    ids=["newest sessions", "some sessions", "count", "courses", "closed cases", "old cases"],
)
async def test_every_read_has_its_index(database: Database, statement: str, parameters: tuple[object, ...]) -> None:
    """The tables are empty, so a scan is chosen only where there is nothing else."""
    async with database.transaction() as tx:
        await tx.driver.execute("SET LOCAL enable_seqscan = off")
        rows = await tx.driver.fetch(f"EXPLAIN {statement}", *parameters)
    plan = "\n".join(row[0] for row in rows)
    assert "Index" in plan
    assert "Seq Scan" not in plan
