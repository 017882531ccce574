"""Weeks of simulated people, streamed by the edge SDK as an app would, and read back when they are settled."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import grpc

from deploy.demo.people import CALL_SECONDS, Person, edge_client
from deploy.demo.suite import Suite
from quietus.fusion.v1.fusion_pb2 import GetSessionRiskRequest
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus.patterns.v1.patterns_pb2 import GetCurrentPatternRequest
from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceStub
from quietus_edge.simulation import SimulatedSession, generate

if TYPE_CHECKING:
    from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceAsyncStub
    from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceAsyncStub

PERSONAS = ("calm", "declining", "masking", "crisis", "camera_failure")
WEEKS = 5
SESSIONS_PER_WEEK = 4
CHUNKS_PER_SESSION = 12
SEED = 7
FLUSH_SECONDS = 60
SETTLE_SECONDS = 60
POLL_SECONDS = 0.1

Progress = Callable[[int], object]


def planned(persona: str) -> list[SimulatedSession]:
    return list(
        generate(
            persona,
            SEED,
            datetime.now(UTC),
            weeks=WEEKS,
            sessions_per_week=SESSIONS_PER_WEEK,
            chunks_per_session=CHUNKS_PER_SESSION,
        )
    )


async def stream(
    suite: Suite, person: Person, sessions: list[SimulatedSession], spool: Path, progress: Progress
) -> None:
    """Returns when the service has acknowledged everything."""
    client = edge_client(suite, person, spool)
    async with client as edge:
        for simulated in sessions:
            async with edge.session(start=simulated.start, session_id=simulated.session_id) as session:
                for chunk in simulated.chunks:
                    await session.record(vision=chunk.vision, audio=chunk.audio, text=chunk.text, chunk=chunk.chunk)
                    progress(1)
            await edge.flush(FLUSH_SECONDS)


async def settle(suite: Suite, person: Person, sessions: list[SimulatedSession]) -> None:
    """Returns when fusion has the newest session and patterns has folded all of them. TimeoutError."""
    await fused(suite, person, sessions[-1].session_id)
    patterns = PatternServiceStub(suite.channels["patterns"])
    async with asyncio.timeout(SETTLE_SECONDS):
        while await _analyzed(patterns, person) < len(sessions):
            await asyncio.sleep(POLL_SECONDS)


async def fused(suite: Suite, person: Person, session_id: UUID) -> None:
    """Returns when fusion has everything of an ended session. TimeoutError."""
    fusion = FusionServiceStub(suite.channels["fusion"])
    async with asyncio.timeout(SETTLE_SECONDS):
        while not await _settled(fusion, person, session_id):
            await asyncio.sleep(POLL_SECONDS)


async def _settled(fusion: "FusionServiceAsyncStub", person: Person, session_id: UUID) -> bool:
    try:
        response = await fusion.GetSessionRisk(
            GetSessionRiskRequest(session_id=str(session_id)), metadata=person.token, timeout=CALL_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return False
        raise
    return response.risk.settled


async def _analyzed(patterns: "PatternServiceAsyncStub", person: Person) -> int:
    """Sessions in the person's current pattern."""
    try:
        response = await patterns.GetCurrentPattern(
            GetCurrentPatternRequest(), metadata=person.token, timeout=CALL_SECONDS
        )
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return 0
        raise
    return response.pattern.sessions_analyzed
