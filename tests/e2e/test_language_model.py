"""A language model's words on the whole road: from a device to what a counselor reads, with all processes real."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from deploy.demo.people import CALL_SECONDS, Person, edge_client, make_person
from deploy.demo.suite import Suite as Client
from deploy.demo.suite import connected
from quietus.fusion.v1 import fusion_pb2 as pb
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus_edge.simulation import generate
from tests.e2e.polling import eventually
from tests.e2e.snapshot import Snapshot
from tests.fusion.endpoint import running_endpoint

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICES = ("identity", "ingest", "fusion")


async def send(client: Client, person: Person, persona: str, spool: Path) -> UUID:
    """The persona's last session, as an app would send it."""
    *_, simulated = generate(persona, 3, datetime.now(UTC), weeks=2, sessions_per_week=2)
    async with edge_client(client, person, spool) as edge:
        async with edge.session(start=simulated.start, session_id=simulated.session_id) as session:
            for one in simulated.chunks:
                await session.record(vision=one.vision, audio=one.audio, text=one.text, chunk=one.chunk)
        await edge.flush(CALL_SECONDS)
    return simulated.session_id


async def explanations(client: Client, person: Person, session_id: UUID) -> Sequence[pb.Explanation]:
    request = pb.ListFusionResultsRequest(session_id=str(session_id))
    fusion = FusionServiceStub(client.channels["fusion"])
    try:
        results = (await fusion.ListFusionResults(request, metadata=person.token, timeout=CALL_SECONDS)).results
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.NOT_FOUND:  # nothing of it is fused yet
            raise
        return []
    return [result.explanation for result in results]


async def test_reasons_are_worded_and_a_crisis_is_not(snapshot: Snapshot, tmp_path: Path) -> None:
    async with running_endpoint() as endpoint:
        settings = {"QUIETUS_LLM_URL": endpoint.url, "QUIETUS_LLM_MODEL": "small-1"}
        async with snapshot.running("worded", SERVICES, settings=settings) as suite, connected(suite.plan) as client:
            worried, endangered = [await make_person(client, name, snapshot.counselor) for name in ("a", "b")]
            crisis = await send(client, endangered, "crisis", tmp_path / "b")
            decline = await send(client, worried, "declining", tmp_path / "a")

            async def unworded() -> str:
                shown = await explanations(client, worried, decline)
                worded = [one for one in shown if one.source == pb.EXPLANATION_SOURCE_LANGUAGE_MODEL]
                return "" if worded else f"{len(shown)} by template"

            await eventually(unworded, "a reason is worded")

            async def unfused() -> str:
                return "" if await explanations(client, endangered, crisis) else "nothing"

            await eventually(unfused, "the crisis is fused")
            of_crisis = await explanations(client, endangered, crisis)
            assert {one.source for one in of_crisis} == {pb.EXPLANATION_SOURCE_TEMPLATE}
            assert all("act now" in one.summary for one in of_crisis)
