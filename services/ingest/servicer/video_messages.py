"""Video sessions and events between the contract's messages and the domain."""

from uuid import UUID

from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.types_pb2 import RiskLevel
from quietus.ingest.v1 import video_pb2
from quietus_edge.normalise import four_decimals
from services.ingest.video import StoredVideoEvent, VideoEvent, VideoSession
from services.ingest.vocabulary import (
    CLIENT_PLATFORMS,
    RISK_LEVELS,
    VIDEO_SESSION_STATUSES,
    VIDEO_SESSION_TYPES,
    VideoSessionStatus,
)


def status_of(number: int) -> VideoSessionStatus | None:
    return VideoSessionStatus(VIDEO_SESSION_STATUSES[number]) if number else None


def event_of(message: video_pb2.VideoEvent) -> VideoEvent:
    return VideoEvent(
        event_id=UUID(message.event_id),
        event_time=to_datetime(message.event_time),
        risk_level=RISK_LEVELS[message.risk_level],
        confidence=four_decimals(message.confidence),
        signals=sorted((signal.name, signal.value) for signal in message.signals),
        model_version=message.model_version,
        latency_milliseconds=message.latency_milliseconds,
    )


def to_video_session(session: VideoSession) -> video_pb2.VideoSession:
    return video_pb2.VideoSession(
        stream_session_id=session.stream_session_id,
        anonymous_id=session.anonymous_id,
        type=video_pb2.VideoSessionType.ValueType(VIDEO_SESSION_TYPES.index(session.type)),
        platform=video_pb2.ClientPlatform.ValueType(CLIENT_PLATFORMS.index(session.platform)),
        status=video_pb2.VideoSessionStatus.ValueType(VIDEO_SESSION_STATUSES.index(session.status)),
        start_time=to_timestamp(session.start_time),
        end_time=to_timestamp(session.end_time) if session.end_time else None,
        create_time=to_timestamp(session.receive_time),
    )


def to_stored_event(stored: StoredVideoEvent) -> video_pb2.StoredVideoEvent:
    event = stored.event
    message = video_pb2.VideoEvent(
        event_id=str(event.event_id),
        event_time=to_timestamp(event.event_time),
        risk_level=RiskLevel.ValueType(RISK_LEVELS.index(event.risk_level)),
        confidence=event.confidence,
        signals=[video_pb2.VideoSignal(name=name, value=value) for name, value in event.signals],
        model_version=event.model_version,
        latency_milliseconds=event.latency_milliseconds,
    )
    return video_pb2.StoredVideoEvent(
        event=message,
        stream_session_id=stored.stream_session_id,
        anonymous_id=stored.anonymous_id,
        create_time=to_timestamp(stored.receive_time),
    )
