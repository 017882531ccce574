"""What the suite knows of a person, read over gRPC as the counselor in whose care the person is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.demo.people import CALL_SECONDS, Person
from deploy.demo.suite import Suite
from libs.common.rpc.client import Metadata
from quietus.common.v1.types_pb2 import RiskLevel
from quietus.fusion.v1.fusion_pb2 import GetSessionRiskRequest, SessionRisk
from quietus.fusion.v1.fusion_pb2_grpc import FusionServiceStub
from quietus.ingest.v1.ingest_pb2 import GetSessionRequest, ListSessionsRequest
from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from quietus.patterns.v1.patterns_pb2 import (
    GetInterfaceRequest,
    Interface,
    InterfaceChange,
    ListInterfaceChangesRequest,
    ListRiskAssessmentsRequest,
    RiskAssessment,
)
from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceStub

if TYPE_CHECKING:
    from quietus.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub


@dataclass(frozen=True)
class Known:
    """The state of one person after everything was streamed."""

    person: Person
    sessions: int
    stored: dict[str, int]  # predictions by modality
    risk: SessionRisk  # of the newest session
    assessment: RiskAssessment  # of the newest session
    interface: Interface
    changes: list[InterfaceChange]  # newest first


async def read_back(suite: Suite, person: Person, counselor: Person) -> Known:
    ingest = IngestServiceStub(suite.channels["ingest"])
    fusion = FusionServiceStub(suite.channels["fusion"])
    patterns = PatternServiceStub(suite.channels["patterns"])
    who, token = person.anonymous_id, counselor.token
    sessions = await ingest.ListSessions(
        ListSessionsRequest(anonymous_id=who, page_size=200), metadata=token, timeout=CALL_SECONDS
    )
    ids = [session.session_id for session in sessions.sessions]
    risk = await fusion.GetSessionRisk(GetSessionRiskRequest(session_id=ids[0]), metadata=token, timeout=CALL_SECONDS)
    assessments = await patterns.ListRiskAssessments(
        ListRiskAssessmentsRequest(anonymous_id=who, page_size=1), metadata=token, timeout=CALL_SECONDS
    )
    interface = await patterns.GetInterface(GetInterfaceRequest(anonymous_id=who), metadata=token, timeout=CALL_SECONDS)
    changes = await patterns.ListInterfaceChanges(
        ListInterfaceChangesRequest(anonymous_id=who), metadata=token, timeout=CALL_SECONDS
    )
    return Known(
        person,
        len(ids),
        await _stored(ingest, ids, token),
        risk.risk,
        assessments.assessments[0],
        interface.interface,
        list(changes.changes),
    )


async def _stored(ingest: "IngestServiceAsyncStub", session_ids: list[str], token: Metadata) -> dict[str, int]:
    stored = {"vision": 0, "audio": 0, "text": 0}
    for session_id in session_ids:
        response = await ingest.GetSession(
            GetSessionRequest(session_id=session_id), metadata=token, timeout=CALL_SECONDS
        )
        for modality, count in zip(stored, response.counts, strict=True):
            stored[modality] += count.predictions
    return stored


def level_name(level: "RiskLevel.ValueType") -> str:
    return RiskLevel.Name(level).removeprefix("RISK_LEVEL_").lower()
