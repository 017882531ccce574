"""Events of ingest, and what fusion tells after them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.common.db.database import Database
from libs.common.feed.handler import read_event
from libs.common.timestamps import to_timestamp
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution, RiskLevel
from quietus.common.v1.types_pb2 import Modality as WireModality
from quietus.fusion.v1.events_pb2 import Event as Told
from quietus.ingest.v1.events_pb2 import (
    Event,
    ModalityResumed,
    ModalitySilent,
    PredictionsCommitted,
    SessionEnded,
    SessionStarted,
)
from quietus.ingest.v1.predictions_pb2 import (
    AudioPrediction,
    CrisisSignal,
    PredictionBatch,
    TextCues,
    TextPrediction,
    VisionPrediction,
)
from quietus.ingest.v1.predictions_pb2 import Prediction as PredictionMessage
from quietus.ingest.v1.sessions_pb2 import SILENCE_CAUSE_NO_SIGN, SilenceCause
from services.fusion.fold import ClientBatch, Models
from services.fusion.follower import IngestHandler
from services.fusion.science.inputs import Said, Shown
from services.fusion.vocabulary import Modality
from tests.fusion import make


def committed(batch: ClientBatch) -> bytes:
    event = PredictionsCommitted(
        user_id=str(batch.user_id),
        anonymous_id=batch.anonymous_id,
        session_id=str(batch.session_id),
        receive_time=to_timestamp(batch.receive_time),
        batch=PredictionBatch(
            batch_number=batch.batch_number,
            predictions=[_message(one) for chunk in batch.chunks for one in make.predictions(chunk)],
        ),
    )
    return Event(predictions_committed=event).SerializeToString()


def started(session_id: UUID = make.SESSION_ID, user_id: UUID = make.USER_ID) -> bytes:
    event = SessionStarted(user_id=str(user_id), anonymous_id=_name(user_id), session_id=str(session_id))
    return Event(session_started=event).SerializeToString()


def ended(session_id: UUID = make.SESSION_ID, user_id: UUID = make.USER_ID) -> bytes:
    event = SessionEnded(
        user_id=str(user_id),
        anonymous_id=_name(user_id),
        session_id=str(session_id),
        end_time=to_timestamp(make.START + 100 * make.LENGTH),
        receive_time=to_timestamp(make.START + 1000 * make.LENGTH),
    )
    return Event(session_ended=event).SerializeToString()


def silent(modality: Modality, since: datetime, cause: "SilenceCause.ValueType" = SILENCE_CAUSE_NO_SIGN) -> bytes:
    event = ModalitySilent(
        modality=WireModality.ValueType(modality), since_time=to_timestamp(since), cause=cause, **_common()
    )
    return Event(modality_silent=event).SerializeToString()


def resumed(modality: Modality, since: datetime, at: datetime) -> bytes:
    event = ModalityResumed(
        modality=WireModality.ValueType(modality),
        since_time=to_timestamp(since),
        resume_time=to_timestamp(at),
        **_common(),
    )
    return Event(modality_resumed=event).SerializeToString()


def _common() -> dict[str, Any]:
    return {
        "user_id": str(make.USER_ID),
        "anonymous_id": _name(make.USER_ID),
        "session_id": str(make.SESSION_ID),
        "receive_time": to_timestamp(make.START + 1000 * make.LENGTH),
    }


def _name(user_id: UUID) -> str:
    return f"anon_{user_id.hex[-4:]}"


def _message(one: make.Prediction) -> PredictionMessage:
    message = PredictionMessage(
        chunk_id=str(one.chunk_id),
        capture_start_time=to_timestamp(one.capture_start_time),
        capture_end_time=to_timestamp(one.capture_end_time),
    )
    content = one.content
    if isinstance(content, Said):
        message.text.CopyFrom(_text(content))
    elif one.modality is Modality.VISION:
        message.vision.CopyFrom(
            VisionPrediction(
                emotion=Emotion.ValueType(content.emotion),
                confidence=content.confidence,
                distress_score=content.probability,
                distribution=_distribution(content),
                model_version=content.model_version,
            )
        )
    else:
        message.audio.CopyFrom(
            AudioPrediction(
                emotion=Emotion.ValueType(content.emotion),
                confidence=content.confidence,
                stress_score=content.probability,
                distribution=_distribution(content),
                model_version=content.model_version,
            )
        )
    return message


def _distribution(shown: Shown) -> EmotionDistribution | None:
    if shown.distribution is None:
        return None
    named = [(number, share) for number, share in enumerate(shown.distribution, start=1) if share]
    return EmotionDistribution(
        labels=[Emotion.ValueType(number) for number, _ in named], probabilities=[share for _, share in named]
    )


def _text(said: Said) -> TextPrediction:
    return TextPrediction(
        risk_level=RiskLevel.ValueType(said.level),
        distress_probability=said.probability,
        confidence=said.confidence,
        valence=said.valence,
        cues=TextCues(
            deflections=["im_fine"] if said.deflection else [],
            crisis_signals=[CrisisSignal.ValueType(signal) for signal in sorted(said.signals)],
        ),
        model_version=said.model_version,
    )


async def apply(database: Database, models: Models | IngestHandler, *groups: Sequence[bytes]) -> None:
    """Each group in a transaction of its own, as the follower does."""
    handler = models if isinstance(models, IngestHandler) else IngestHandler(models)
    for position, group in enumerate(groups, start=1):
        events = [read_event(handler, position, index, data, datetime.now(UTC)) for index, data in enumerate(group)]
        async with database.transaction() as tx:
            await handler.apply(tx, events)


async def told(database: Database) -> list[Told]:
    """Everything on fusion's feed."""
    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT payload FROM outbox ORDER BY partition, position")
    return [Told.FromString(event) for row in rows for event in FeedPayload.FromString(row.payload).events]


async def table(database: Database, name: str, *without: str) -> list[dict[str, Any]]:
    """All rows without create_time, in one order."""
    async with database.read() as tx:
        rows = await tx.fetch_all(f"SELECT * FROM {name}")  # noqa: S608 - a test's own table name
    hidden = {"create_time", *without}
    kept = [{key: value for key, value in row._mapping.items() if key not in hidden} for row in rows]
    return sorted(kept, key=repr)


DERIVED = (
    "fusion_results",
    "session_states",
    "llm_explanations",
    "dissonance_records",
    "chunk_inputs",
    "session_ends",
    "modality_silences",
)


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    return {name: await table(database, name) for name in DERIVED}
