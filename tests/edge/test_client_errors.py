"""What a service answers, and what the client makes of it."""

import asyncio
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from quietus_edge.errors import (
    DeliveryError,
)
from tests.edge.fake_suite import FakeSuite, session_ids
from tests.edge.make import PATIENCE_SECONDS, audio, client, next_report, text, vision


@pytest.mark.parametrize("method", ["StartSession", "EndSession", "StreamPredictions"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"),
        # With the time when to come back, as services send it.
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    ],
)
async def test_what_passes_is_retried_wherever_it_comes(
    suite: FakeSuite, spool: Path, method: str, code: grpc.StatusCode, reason: str
) -> None:
    for _ in range(3):
        suite.fail_next(method, code, reason)
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
    assert suite.calls[method] == 4
    assert len(suite.stored) == 1


async def test_other_errors_are_told_and_not_hammered(suite: FakeSuite, spool: Path) -> None:
    for _ in range(100):
        suite.fail_next("StreamPredictions", grpc.StatusCode.INTERNAL, "INTERNAL")
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
            problem = await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
            assert (problem.reason, problem.session_id) == ("INTERNAL", str(session.session_id))
            for _ in range(10):
                await session.record(vision=vision())
        with pytest.raises(DeliveryError, match="INTERNAL"):
            await edge.flush(PATIENCE_SECONDS)
        assert suite.calls["StreamPredictions"] == 1
        assert (edge.status().state, edge.status().reason) == ("blocked", "INTERNAL")
        assert edge.status().waiting_predictions == 11


async def test_a_refused_token_is_renewed_once(suite: FakeSuite, spool: Path) -> None:
    suite.fail_next("StartSession", grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
    assert suite.calls["ExchangeApiKey"] == 2


async def test_a_wrong_key_blocks_and_loses_nothing(suite: FakeSuite, spool: Path) -> None:
    async with client(suite, spool, api_key="revoked") as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), text=text(transcript="words"))
        with pytest.raises(DeliveryError) as failure:
            await edge.flush(PATIENCE_SECONDS)
        assert failure.value.reason == "BAD_CREDENTIALS"
        assert edge.status().waiting_predictions == 2
        assert "words" not in str(failure.value)
    async with client(suite, spool) as edge:
        await edge.flush(PATIENCE_SECONDS)
    assert len(suite.stored) == 2


async def test_what_a_session_lacks_that_takes_nothing_more_goes_on_under_a_new_id(
    suite: FakeSuite, spool: Path
) -> None:
    suite.fail_next("StreamPredictions", grpc.StatusCode.FAILED_PRECONDITION, "SESSION_ENDED")
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), audio=audio())
            problem = await asyncio.wait_for(told.get(), PATIENCE_SECONDS)
            assert problem.reason == "SESSION_ENDED"
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
        assert edge.status().dropped == {}
    assert len(suite.stored) == 3
    assert session_ids(suite) == {UUID(problem.session_id)} == {UUID(one) for one in suite.ended}
    assert problem.session_id != str(session.session_id)


@pytest.mark.parametrize("more", [False, True])
async def test_what_an_ended_session_has_already_goes_to_no_other(suite: FakeSuite, spool: Path, more: bool) -> None:
    suite.ends_unacknowledged = True
    tell, told = next_report()
    async with client(suite, spool, on_problem=tell) as edge:
        async with edge.session() as session:
            await session.record(vision=vision(), audio=audio())
            if more:
                assert (await asyncio.wait_for(told.get(), PATIENCE_SECONDS)).reason == "SESSION_ENDED"
                await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
        assert (edge.status().acknowledged, edge.status().dropped) == (3 if more else 2, {})
    chunks = {(chunk, modality) for _, chunk, modality in suite.stored}
    assert len(chunks) == len(suite.stored) == edge.status().acknowledged
    if more:
        assert len(session_ids(suite)) == 2


async def test_a_session_that_the_server_lost_is_started_again(suite: FakeSuite, spool: Path) -> None:
    suite.fail_next("StreamPredictions", grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND")
    async with client(suite, spool) as edge:
        async with edge.session() as session:
            await session.record(vision=vision())
        await edge.flush(PATIENCE_SECONDS)
    assert suite.calls["StartSession"] == 2
    assert len(suite.stored) == 1
