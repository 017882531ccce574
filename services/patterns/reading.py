"""From the feeds' messages to facts."""

from collections.abc import Iterator
from uuid import UUID

from libs.common.feed.handler import UnknownEvent
from libs.common.timestamps import to_datetime
from quietus.common.v1.types_pb2 import Emotion, EmotionDistribution
from quietus.fusion.v1 import events_pb2 as fusion_events
from quietus.fusion.v1 import fusion_pb2 as fusion
from quietus.ingest.v1 import predictions_pb2 as ingest
from services.patterns.facts import (
    CUE_MEASURES,
    VOICE_MEASURES,
    ChunkFeatures,
    Cues,
    Dissonance,
    FusedBatch,
    FusedChunk,
    SettledSession,
)
from services.patterns.levels import Level

_DISSONANCES = {
    fusion.DISSONANCE_DIRECTION_CONGRUENT: Dissonance.CONGRUENT,
    fusion.DISSONANCE_DIRECTION_MASKING: Dissonance.MASKING,
    fusion.DISSONANCE_DIRECTION_COPING: Dissonance.COPING,
}
_EMOTION_PREFIX = "EMOTION_"


def fused(event: fusion_events.Event) -> FusedBatch | SettledSession:
    """Raises UnknownEvent for a kind that isn't known here."""
    match event.WhichOneof("event"):
        case "chunks_fused":
            return fused_batch(event.chunks_fused)
        case "session_settled":
            return settled_session(event.session_settled)
        case _:
            raise UnknownEvent


def fused_batch(event: fusion_events.ChunksFused) -> FusedBatch:
    return FusedBatch(
        user_id=UUID(event.user_id),
        session_id=UUID(event.session_id),
        batch_number=event.batch_number,
        receive_time=to_datetime(event.receive_time),
        chunks=tuple(_fused_chunk(result) for result in event.results),
    )


def settled_session(event: fusion_events.SessionSettled) -> SettledSession:
    return SettledSession(
        user_id=UUID(event.user_id),
        session_id=UUID(event.session_id),
        end_time=to_datetime(event.end_time),
        receive_time=to_datetime(event.receive_time),
    )


def chunk_features(batch: ingest.PredictionBatch) -> Iterator[ChunkFeatures]:
    """What voice and words of each chunk measured; predictions that measured nothing are left out."""
    for prediction in batch.predictions:
        kind = prediction.WhichOneof("modality")
        if kind == "audio" and prediction.audio.HasField("features"):
            yield ChunkFeatures(UUID(prediction.chunk_id), _measures(prediction.audio.features, VOICE_MEASURES))
        elif kind == "text":
            yield _features_of_words(UUID(prediction.chunk_id), prediction.text)


def _fused_chunk(result: fusion.FusionResult) -> FusedChunk:
    return FusedChunk(
        chunk_id=UUID(result.chunk_id),
        revision=result.revision,
        capture_end_time=to_datetime(result.capture_end_time),
        level=Level(result.level),
        score=result.score,
        session_score=result.session_score,
        critical_cue=result.critical_cue,
        dissonance=_DISSONANCES.get(result.dissonance_direction, Dissonance.UNCLEAR),
        dissonance_score=result.dissonance_score,
        emotions=_emotions(result.emotions),
    )


def _features_of_words(chunk_id: UUID, text: ingest.TextPrediction) -> ChunkFeatures:
    valence = {"valence": text.valence} if text.HasField("valence") else {}
    if not text.HasField("cues"):
        return ChunkFeatures(chunk_id, valence)
    cues = Cues(
        language=text.cues.language,
        code_switching=text.cues.code_switching,
        deflections=tuple(text.cues.deflections),
        topics=tuple(text.cues.topics),
        coping=tuple(text.cues.coping),
    )
    return ChunkFeatures(chunk_id, valence | _measures(text.cues, CUE_MEASURES), cues)


def _measures(message: ingest.VoiceFeatures | ingest.TextCues, names: tuple[str, ...]) -> dict[str, float]:
    return {name: getattr(message, name) for name in names if message.HasField(name)}  # type: ignore[arg-type]


def _emotions(distribution: EmotionDistribution) -> dict[str, float]:
    return {
        Emotion.Name(label).removeprefix(_EMOTION_PREFIX).lower(): probability
        for label, probability in zip(distribution.labels, distribution.probabilities, strict=True)
    }
