"""Two devices share a session: each counts for itself, and a camera that is switched off becomes a fact of fusion's."""

import asyncio

import pytest

from libs.common.rpc.client import Metadata, channel
from libs.common.timestamps import to_datetime
from quietus.fusion.v1.fusion_pb2 import GetSessionRiskRequest, SessionRisk
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus.ingest.v1.ingest_pb2 import GetSessionRequest
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus_edge import Audio, EdgeClient, Limits, Vision
from tests.e2e.snapshot import Snapshot
from tests.e2e.suite import Suite

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEEN = Vision(emotion="sad", confidence=0.8, distress_score=0.3, model_version="face-1")
HEARD = Audio(emotion="sad", confidence=0.8, stress_score=0.3, model_version="voice-1")
PATIENCE_SECONDS = 60


def device(suite: Suite, api_key: str, name: str) -> EdgeClient:
    return EdgeClient(
        suite.plan.address("ingest"),
        identity_address=suite.plan.address("identity"),
        api_key=api_key,
        spool=suite.plan.state_dir / name,
        limits=Limits(heartbeat_seconds=0.5),
    )


async def test_two_devices_share_a_session_and_one_switches_its_camera_off(snapshot: Snapshot) -> None:
    person = next(iter(snapshot.work))
    settings = {"QUIETUS_INGEST_MODALITY_SILENCE_SECONDS": "5"}
    async with snapshot.running("shared", ("identity", "ingest", "fusion"), settings=settings) as suite:
        phone, tablet = (device(suite, person.api_key, name) for name in ("phone", "tablet"))
        async with phone, tablet, phone.session(modalities=("vision",)) as started:
            await started.record(vision=SEEN)
            await phone.flush(PATIENCE_SECONDS)
            start = started.start_time
            async with tablet.continue_session(started.session_id, start=start, modalities=("audio",)) as continued:
                await continued.record(audio=HEARD)
                await tablet.flush(PATIENCE_SECONDS)
                await suite.settled()
                started.set_modality("vision", "off")
                async with channel(suite.plan.address("fusion")) as fusion:
                    risk = await switched_off(FusionServiceStub(fusion), person.token, str(started.session_id))
            async with channel(suite.plan.address("ingest")) as ingest:
                request = GetSessionRequest(session_id=str(started.session_id))
                details = await IngestServiceStub(ingest).GetSession(request, metadata=person.token)
        assert phone.status().clock_skew_seconds == pytest.approx(0, abs=5)

    assert [(one.modality, one.reason) for one in risk.silent] == [(1, "OFF")]
    assert to_datetime(risk.silent[0].since_time) >= start
    assert [sender.ordinal for sender in details.senders] == [0, 1]
    assert [count.predictions for count in details.counts] == [1, 1, 0]


async def switched_off(fusion: FusionServiceStub, token: Metadata, session_id: str) -> SessionRisk:
    """A machine that is too busy for heartbeats may make a modality fall silent before."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            request = GetSessionRiskRequest(session_id=session_id)
            risk = (await fusion.GetSessionRisk(request, metadata=token)).risk
            if "OFF" in {one.reason for one in risk.silent}:
                return risk
            await asyncio.sleep(0.2)
