"""Events of ingest and fusion as those slices tell them, and what patterns made of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.db.database import Database
from libs.common.feed.handler import FeedHandler, read_event
from libs.common.timestamps import to_timestamp
from quietus.common.v1.feed_pb2 import FeedPayload
from quietus.common.v1.types_pb2 import EMOTION_HAPPY, EMOTION_SAD, EmotionDistribution, RiskLevel
from quietus.fusion.v1 import events_pb2 as fusion_events
from quietus.fusion.v1 import fusion_pb2 as fusion
from quietus.ingest.v1 import events_pb2 as ingest_events
from quietus.ingest.v1 import predictions_pb2 as ingest
from quietus.patterns.v1.events_pb2 import Event
from tests.patterns.make import START, at, number_id

OWN_TABLES = (
    "users",
    "session_inputs",
    "ingested_batches",
    "chunk_features",
    "chunk_results",
    "session_features",
    "user_baselines",
    "session_deviations",
    "risk_assessments",
    "user_patterns",
    "interface_configs",
    "interface_changes",
)


@dataclass(frozen=True)
class Chunk:
    """One chunk as a client batch touched it. `session_score` is fusion's, after it."""

    number: int
    score: float = 0.1
    level: "RiskLevel.ValueType" = RiskLevel.RISK_LEVEL_LOW
    revision: int = 1
    masking: float = 0.0
    critical_cue: bool = False
    pitch_mean: float | None = None
    cues: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Batch:
    user: int
    session: int
    number: int
    chunks: Sequence[Chunk] = field(default_factory=tuple)


@dataclass(frozen=True)
class End:
    user: int
    session: int


Happening = Batch | End


def user_id(number: int) -> UUID:
    return UUID(int=0xA0000000 + number)


def session_id(number: int) -> UUID:
    return UUID(int=0xB0000000 + number)


def _common(happening: Happening) -> dict[str, object]:
    return {
        "user_id": str(user_id(happening.user)),
        "anonymous_id": f"person-{happening.user}",
        "session_id": str(session_id(happening.session)),
        "receive_time": to_timestamp(at(10_000 + happening.session)),
    }


def _time(session: int, minutes: float) -> Timestamp:
    return to_timestamp(at(1440 * session + minutes))


def from_ingest(happening: Happening) -> bytes:
    if isinstance(happening, End):
        ended = ingest_events.SessionEnded(end_time=_time(happening.session, 600), **_common(happening))  # type: ignore[arg-type]
        return ingest_events.Event(session_ended=ended).SerializeToString()
    predictions = [
        prediction for chunk in happening.chunks for prediction in _predictions(chunk, happening.session)
    ] or [ingest.Prediction(chunk_id=str(number_id(0)), vision=ingest.VisionPrediction(confidence=0.5))]
    committed = ingest_events.PredictionsCommitted(
        batch=ingest.PredictionBatch(batch_number=happening.number, predictions=predictions),
        **_common(happening),  # type: ignore[arg-type]
    )
    return ingest_events.Event(predictions_committed=committed).SerializeToString()


def _predictions(chunk: Chunk, session: int) -> Iterable[ingest.Prediction]:
    chunk_id = str(number_id(1000 * session + chunk.number))
    if chunk.pitch_mean is not None:
        features = ingest.VoiceFeatures(pitch_mean=chunk.pitch_mean, speech_rate=4)
        yield ingest.Prediction(chunk_id=chunk_id, audio=ingest.AudioPrediction(features=features))
    if chunk.cues is not None:
        cues = ingest.TextCues(**chunk.cues)  # type: ignore[arg-type]
        yield ingest.Prediction(chunk_id=chunk_id, text=ingest.TextPrediction(valence=-0.25, cues=cues))


def from_fusion(happening: Happening) -> bytes:
    if isinstance(happening, End):
        settled = fusion_events.SessionSettled(end_time=_time(happening.session, 600), **_common(happening))  # type: ignore[arg-type]
        return fusion_events.Event(session_settled=settled).SerializeToString()
    fused = fusion_events.ChunksFused(
        batch_number=happening.number,
        results=[_result(chunk, happening.session) for chunk in happening.chunks],
        **_common(happening),  # type: ignore[arg-type]
    )
    return fusion_events.Event(chunks_fused=fused).SerializeToString()


def _result(chunk: Chunk, session: int) -> fusion.FusionResult:
    masking = chunk.masking > 0
    return fusion.FusionResult(
        session_id=str(session_id(session)),
        chunk_id=str(number_id(1000 * session + chunk.number)),
        revision=chunk.revision,
        capture_start_time=_time(session, chunk.number - 1),
        capture_end_time=_time(session, chunk.number),
        level=chunk.level,
        score=chunk.score,
        session_score=chunk.score,
        critical_cue=chunk.critical_cue,
        dissonance_direction=fusion.DISSONANCE_DIRECTION_MASKING if masking else fusion.DISSONANCE_DIRECTION_CONGRUENT,
        dissonance_score=chunk.masking,
        emotions=EmotionDistribution(labels=[EMOTION_SAD, EMOTION_HAPPY], probabilities=[chunk.score, 1 - chunk.score]),
    )


async def apply(
    database: Database, handler: FeedHandler, events: Sequence[bytes], raising: Exception | None = None
) -> None:
    """As a follower does: one transaction for what came together. `raising`: it is rolled back."""
    async with database.transaction() as tx:
        await handler.apply(tx, [read_event(handler, 1, index, data, START) for index, data in enumerate(events)])
        if raising is not None:
            raise raising


async def rows_of(database: Database) -> dict[str, list[str]]:
    """Every row of every table, without what is wall clock."""
    async with database.read() as tx:
        return {
            table: [
                row.content
                for row in await tx.fetch_all(
                    f"SELECT (to_jsonb(t) - 'create_time')::text AS content FROM {table} t ORDER BY 1"  # noqa: S608
                )
            ]
            for table in OWN_TABLES
        }


async def told_by(database: Database) -> dict[str, list[Event]]:
    """Each person's events in the order of the feed."""
    async with database.read() as tx:
        payloads = [
            row.payload for row in await tx.fetch_all("SELECT payload FROM outbox ORDER BY partition, position")
        ]
    told: dict[str, list[Event]] = {}
    for payload in payloads:
        for data in FeedPayload.FromString(payload).events:
            event = Event.FromString(data)
            told.setdefault(getattr(event, str(event.WhichOneof("event"))).user_id, []).append(event)
    return told


async def waiting_in(database: Database) -> int:
    async with database.read() as tx:
        return int(await tx.scalar("SELECT count(*) FROM waiting_fused"))


async def empty(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute("DELETE FROM users")
        await tx.execute("DELETE FROM outbox")
