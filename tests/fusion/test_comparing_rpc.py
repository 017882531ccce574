"""CompareModels over a real channel: what who may not see how somebody is hears of another version."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import grpc
import pytest

from libs.common.db.database import Database
from libs.common.db.roles import dsn_for, slice_role
from libs.common.rpc.drain import DrainSignal
from libs.common.rpc.errors import AppError
from libs.common.timestamps import to_timestamp
from quietus.fusion.v1 import models_pb2 as contract
from quietus.fusion.v1.models_pb2_grpc import ModelServiceStub
from quietus_edge.errors import reason_of
from quietus_edge.ids import uuid7
from services.fusion.comparison import PEOPLE_MIN
from services.fusion.disclosure import Findings
from services.fusion.fold import Models
from services.fusion.models import SHIPPED
from services.fusion.service import comparing
from services.fusion.service.comparing import Comparisons, Question
from tests.fusion import versions
from tests.fusion.compared_sessions import ENTER_EARLY, LEAVE_EARLY, SESSION_IDS, day, fuse_sessions, person
from tests.fusion.events import apply, committed, table
from tests.fusion.make import batch, chunk, predictions, said
from tests.fusion.serving import ADMIN, refused, serving

Answer = contract.CompareModelsResponse


@pytest.fixture
async def stub(database: Database, models: Models) -> AsyncIterator[ModelServiceStub]:
    async with serving(database, models) as channel:
        yield ModelServiceStub(channel)


@pytest.fixture
async def sessions(database: Database, models: Models) -> None:
    await fuse_sessions(database, models, people=len(SESSION_IDS))


async def answers(stub: ModelServiceStub, request: contract.CompareModelsRequest) -> list[Answer]:
    return [answer async for answer in stub.CompareModels(request, metadata=ADMIN)]


async def compared(stub: ModelServiceStub, request: contract.CompareModelsRequest) -> Answer:
    return (await answers(stub, request))[-1]


async def fuse_strained(database: Database, models: Models, calm: int, strained: int) -> None:
    """A session each of calm people, and of some that the eager version calls high."""
    of_calm, of_strained = chunk(0, text=said(0.05)), chunk(0, text=said(0.9, 1.0))
    events = [
        committed(batch(1, *predictions(one), session_id=uuid7(day(number)), user_id=person(number)))
        for number, one in enumerate([of_calm] * calm + [of_strained] * strained, start=1)
    ]
    await apply(database, models, events)


@pytest.mark.usefixtures("sessions")
async def test_everybody_is_counted(stub: ModelServiceStub) -> None:
    answer = await compared(stub, contract.CompareModelsRequest(version=SHIPPED))
    assert (answer.sessions, answer.total_sessions, answer.chunks) == (12, 12, 144)
    assert (len(answer.chunk_levels), len(answer.session_levels)) == (16, 16)
    assert answer.done


async def test_nobody_is_told_of_by_a_small_group(stub: ModelServiceStub, database: Database, models: Models) -> None:
    await fuse_strained(database, models, calm=PEOPLE_MIN - 2, strained=1)
    everybody = contract.CompareModelsRequest(version=SHIPPED)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "COHORT_TOO_SMALL"):
        await answers(stub, everybody)
    await fuse_strained(database, models, calm=PEOPLE_MIN, strained=0)
    assert (await compared(stub, everybody)).done
    one_day = contract.CompareModelsRequest(
        version=SHIPPED, start_time=to_timestamp(day(3)), end_time=to_timestamp(day(4))
    )
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "COHORT_TOO_SMALL"):
        await answers(stub, one_day)


async def test_people_whose_inputs_are_gone_make_no_group(
    stub: ModelServiceStub, database: Database, models: Models
) -> None:
    await fuse_strained(database, models, calm=PEOPLE_MIN, strained=0)
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM chunk_inputs WHERE session_id = :session_id", {"session_id": uuid7(day(1))})
        await tx.execute("DELETE FROM chunk_inputs WHERE user_id = :user_id", {"user_id": person(1)})
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "COHORT_TOO_SMALL"):
        await answers(stub, contract.CompareModelsRequest(version=SHIPPED))


async def test_what_few_people_have_is_withheld(stub: ModelServiceStub, database: Database, models: Models) -> None:
    await fuse_strained(database, models, calm=2 * PEOPLE_MIN, strained=1)
    await versions.register(database, "eager-1", session__enter=ENTER_EARLY, session__leave=LEAVE_EARLY)
    answer = await compared(stub, contract.CompareModelsRequest(version="eager-1"))
    assert answer.sessions == 2 * PEOPLE_MIN + 1
    for levels in (answer.chunk_levels, answer.session_levels):
        # The calm would tell the other one by what the total has more.
        assert [one.count for one in levels if one.withheld] == [0, 0]
        assert not any(one.count for one in levels)
    assert answer.newly_alerting_sessions == 0


async def test_progress_tells_nothing_of_what_came_between(
    stub: ModelServiceStub, database: Database, models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "PAGE_CHUNKS", 1)
    monkeypatch.setattr(comparing, "PROGRESS_SECONDS", 0.0)
    await fuse_strained(database, models, calm=2 * PEOPLE_MIN, strained=0)
    await versions.register(database, "eager-1", session__enter=ENTER_EARLY, session__leave=LEAVE_EARLY)
    *progress, last = await answers(stub, contract.CompareModelsRequest(version="eager-1"))
    assert len(progress) > PEOPLE_MIN
    told = {field.name for answer in progress for field, _ in answer.ListFields()}
    assert told == {"sessions", "total_sessions"}
    assert (last.newly_alerting_sessions, last.chunks) == (2 * PEOPLE_MIN, 2 * PEOPLE_MIN)


def test_nobody_and_no_session_can_be_named() -> None:
    """An admin of the service may know who there is, and not how they are."""
    names = {
        field.name
        for message in (contract.CompareModelsRequest, contract.CompareModelsResponse, contract.LevelCount)
        for field in message.DESCRIPTOR.fields
    }
    assert not {name for name in names if name.endswith("_id") or name == "examples"}


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
async def test_a_comparison_is_audited(stub: ModelServiceStub, database: Database) -> None:
    await compared(stub, contract.CompareModelsRequest(version=SHIPPED))
    (entry,) = await table(database, "audit_logs")
    assert (entry["action"], entry["resource_id"], entry["actor"]) == ("model.compare", SHIPPED, "admin:anon_ad01")
    assert entry["user_id"] is None


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


@pytest.mark.usefixtures("sessions")
async def test_who_doesnt_read_is_given_up_and_holds_up_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "IDLE_SECONDS", 0.05)
    comparisons, found = Comparisons(database), list[Findings]()

    async def stalled(_: Findings) -> None:
        await asyncio.Event().wait()

    async def reading(findings: Findings) -> None:
        found.append(findings)

    async def send(write: Callable[[Findings], Awaitable[None]]) -> None:
        async with asyncio.timeout(20):
            await comparisons.send("admin:test", Question(SHIPPED, ""), write, DrainSignal(asyncio.Event(), 3600))

    with pytest.raises(AppError, match="STREAM_IDLE"):
        await send(stalled)
    await send(reading)
    assert found[-1].done
