"""What alerts does with the feeds of fusion and patterns: their results become facts."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.feed.handler import FeedEvent, Read, UnknownEvent
from libs.common.timestamps import to_datetime
from quietus.common.v1.types_pb2 import Modality
from quietus.fusion.v1 import events_pb2 as fusion_events
from quietus.fusion.v1 import fusion_pb2
from quietus.patterns.v1 import events_pb2 as patterns_events
from services.alerts.escalation import Policy
from services.alerts.risk import Fact, Level, Source
from services.alerts.service.raising import take

MOST_FACTORS = 5
MODALITIES = {number: name.removeprefix("MODALITY_") for name, number in Modality.items()}


class FusionHandler:
    """Every fused chunk says how the session stands after it."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def read(self, event: bytes) -> Read:
        message = fusion_events.Event.FromString(event)
        kind = message.WhichOneof("event")
        if kind is None:
            raise UnknownEvent
        return Read(UUID(getattr(message, kind).user_id), message)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        names: dict[UUID, str] = {}
        by_person: defaultdict[UUID, list[Fact]] = defaultdict(list)
        for event in events:
            message: fusion_events.Event = event.content
            if message.WhichOneof("event") == "chunks_fused":
                fused = message.chunks_fused
                user_id = UUID(fused.user_id)
                names[user_id] = fused.anonymous_id
                by_person[user_id] += [fused_fact(fused, result) for result in fused.results]
        await take(tx, self._policy, names, by_person)


class PatternsHandler:
    """Every assessment says how the person stands against their own normal."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def read(self, event: bytes) -> Read:
        message = patterns_events.Event.FromString(event)
        kind = message.WhichOneof("event")
        if kind is None:
            raise UnknownEvent
        return Read(UUID(getattr(message, kind).user_id), message)

    async def apply(self, tx: Transaction, events: Sequence[FeedEvent]) -> None:
        names: dict[UUID, str] = {}
        by_person: defaultdict[UUID, list[Fact]] = defaultdict(list)
        for event in events:
            message: patterns_events.Event = event.content
            if message.WhichOneof("event") == "risk_assessed":
                assessed = message.risk_assessed
                user_id = UUID(assessed.user_id)
                names[user_id] = assessed.assessment.anonymous_id
                by_person[user_id].append(assessed_fact(assessed))
        await take(tx, self._policy, names, by_person)


def fused_fact(fused: fusion_events.ChunksFused, result: fusion_pb2.FusionResult) -> Fact:
    """The session's level after the chunk. Its score is the session's, or the chunk's own where a cue set the level."""
    return Fact(
        source=Source.FUSION,
        session_id=UUID(result.session_id),
        chunk_id=UUID(result.chunk_id),
        revision=result.revision,
        level=Level(result.level),
        score=max(result.session_score, result.score) if result.critical_cue else result.session_score,
        factors=_fused_factors(result),
        capture_time=to_datetime(result.capture_end_time),
        receive_time=to_datetime(fused.receive_time),
    )


def assessed_fact(assessed: patterns_events.RiskAssessed) -> Fact:
    assessment = assessed.assessment
    return Fact(
        source=Source.PATTERNS,
        session_id=UUID(assessment.session_id),
        chunk_id=UUID(assessed.chunk_id),
        revision=assessed.revision,
        level=Level(assessment.level),
        score=assessment.score,
        factors=tuple(assessment.risk_factors[:MOST_FACTORS]),
        capture_time=to_datetime(assessment.assess_time),
        receive_time=to_datetime(assessed.receive_time),
    )


def _fused_factors(result: fusion_pb2.FusionResult) -> tuple[str, ...]:
    """The cue first, then what raised the risk, strongest first, then masking."""
    raising = sorted((part for part in result.contributions if part.logit > 0), key=lambda part: -part.logit)
    factors = ["CRITICAL_CUE"] if result.critical_cue else []
    factors += [f"{MODALITIES[part.modality]}_DISTRESS" for part in raising]
    if result.dissonance_direction == fusion_pb2.DISSONANCE_DIRECTION_MASKING:
        factors.append("MASKING")
    return tuple(factors[:MOST_FACTORS])
