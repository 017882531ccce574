"""Events as fusion and patterns send them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.db.database import Database
from libs.common.feed.handler import FeedHandler, read_event
from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import MODALITY_AUDIO
from quietus.fusion.v1 import events_pb2 as fusion_events
from quietus.fusion.v1.fusion_pb2 import Contribution, FusionResult
from quietus.patterns.v1 import events_pb2 as patterns_events
from quietus.patterns.v1.patterns_pb2 import RiskAssessment
from services.alerts.escalation import Policy
from services.alerts.follower import FusionHandler, PatternsHandler
from services.alerts.risk import Level

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = Policy(alert_fresh=timedelta(hours=24), reopen_after=timedelta(minutes=60))
PERSON = UUID("00000000-0000-4000-8000-000000000001")
SESSION = UUID("00000000-0000-7000-8000-00000000000a")


def fused(
    minute: int,
    level: Level,
    score: float,
    *,
    person: UUID = PERSON,
    session: UUID = SESSION,
    revision: int = 1,
    cue: bool = False,
) -> bytes:
    moment = to_timestamp(START + timedelta(minutes=minute))
    result = FusionResult(
        session_id=str(session),
        chunk_id=str(UUID(int=1000 + minute)),
        revision=revision,
        capture_end_time=moment,
        level=level.value,
        score=score,
        session_score=score,
        critical_cue=cue,
        contributions=[Contribution(modality=MODALITY_AUDIO, logit=1.0)],
    )
    later = to_timestamp(START + timedelta(minutes=minute, seconds=revision))
    event = fusion_events.ChunksFused(
        user_id=str(person),
        anonymous_id=f"p_{person.int}",
        session_id=str(session),
        receive_time=later,
        results=[result],
    )
    return fusion_events.Event(chunks_fused=event).SerializeToString()


def assessed(minute: int, level: Level, score: float, *, person: UUID = PERSON, revision: int = 1) -> bytes:
    moment = to_timestamp(START + timedelta(minutes=minute))
    assessment = RiskAssessment(
        session_id=str(SESSION),
        anonymous_id=f"p_{person.int}",
        level=level.value,
        score=score,
        risk_factors=["BASELINE_DEVIATION"],
        assess_time=moment,
    )
    event = patterns_events.RiskAssessed(
        user_id=str(person),
        assessment=assessment,
        revision=revision,
        receive_time=to_timestamp(START + timedelta(minutes=minute, seconds=1)),
        chunk_id=str(UUID(int=1000 + minute)),
    )
    return patterns_events.Event(risk_assessed=event).SerializeToString()


async def follow_fusion(database: Database, *events: bytes) -> None:
    await _follow(database, FusionHandler(POLICY), events)


async def follow_patterns(database: Database, *events: bytes) -> None:
    await _follow(database, PatternsHandler(POLICY), events)


async def _follow(database: Database, handler: FeedHandler, events: Sequence[bytes]) -> None:
    async with database.transaction() as tx:
        await handler.apply(tx, [read_event(handler, 1, i, event, START) for i, event in enumerate(events)])
