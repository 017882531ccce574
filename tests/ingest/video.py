"""A client of VideoService."""

from datetime import datetime, timedelta
from uuid import uuid4

import grpc
from grpc.aio import EOF

from libs.common.timestamps import to_timestamp
from quietus.common.v1.types_pb2 import RISK_LEVEL_HIGH, RiskLevel
from quietus.ingest.v1 import video_pb2
from quietus.ingest.v1.video_pb2_grpc import VideoServiceStub
from tests.ingest import make
from tests.ingest.suite import PATIENCE_SECONDS, Person, Suite, ended


def start_request(**fields: object) -> video_pb2.StartVideoSessionRequest:
    request = video_pb2.StartVideoSessionRequest(
        stream_session_id=f"room-{uuid4()}",
        type=video_pb2.VIDEO_SESSION_TYPE_CHECK_IN,
        platform=video_pb2.CLIENT_PLATFORM_KIOSK,
        start_time=to_timestamp(make.now() - timedelta(minutes=10)),
    )
    request.MergeFrom(video_pb2.StartVideoSessionRequest(**fields))
    return request


def event(at: datetime | None = None, level: "RiskLevel.ValueType" = RISK_LEVEL_HIGH) -> video_pb2.VideoEvent:
    return video_pb2.VideoEvent(
        event_id=str(uuid4()),
        event_time=to_timestamp(at or make.now()),
        risk_level=level,
        confidence=0.9,
        signals=[
            video_pb2.VideoSignal(name="gaze_aversion", value=0.7),
            video_pb2.VideoSignal(name="tears", value=0.1),
        ],
        model_version="video-1",
        latency_milliseconds=45,
    )


class Stream:
    """A client's end of RecordVideoEvents."""

    def __init__(self, call: grpc.aio.StreamStreamCall) -> None:
        self.call = call

    async def record(self, session_id: str, *events: video_pb2.VideoEvent) -> video_pb2.RecordVideoEventsResponse:
        await self.call.write(video_pb2.RecordVideoEventsRequest(stream_session_id=session_id, events=events))
        return await self.answer()

    async def answer(self) -> video_pb2.RecordVideoEventsResponse:
        response = await self.call.read()
        if response is EOF:
            raise await ended(self.call)
        return response


class Viewer:
    """Somebody who calls VideoService."""

    def __init__(self, suite: Suite, person: Person) -> None:
        self.stub = VideoServiceStub(suite.channel)
        self.person = person
        self.metadata = person.metadata

    async def start(self, **fields: object) -> video_pb2.VideoSession:
        return await self.start_as(start_request(**fields))

    async def start_as(self, request: video_pb2.StartVideoSessionRequest) -> video_pb2.VideoSession:
        return (await self.stub.StartVideoSession(request, metadata=self.metadata)).session

    async def end(self, session_id: str, at: datetime | None = None, *, failed: bool = False) -> video_pb2.VideoSession:
        request = video_pb2.EndVideoSessionRequest(
            stream_session_id=session_id, end_time=to_timestamp(at or make.now()), failed=failed
        )
        return (await self.stub.EndVideoSession(request, metadata=self.metadata)).session

    async def get(self, session_id: str) -> video_pb2.VideoSession:
        request = video_pb2.GetVideoSessionRequest(stream_session_id=session_id)
        return (await self.stub.GetVideoSession(request, metadata=self.metadata)).session

    def stream(self) -> Stream:
        return Stream(self.stub.RecordVideoEvents(metadata=self.metadata, timeout=PATIENCE_SECONDS))

    async def record(self, session_id: str, *events: video_pb2.VideoEvent) -> video_pb2.RecordVideoEventsResponse:
        """On a stream of its own."""
        stream = self.stream()
        response = await stream.record(session_id, *events)
        await stream.call.done_writing()
        assert await stream.call.read() is EOF
        return response

    async def sessions(self, **fields: object) -> list[video_pb2.VideoSession]:
        """All pages."""
        request, found = video_pb2.ListVideoSessionsRequest(page_size=2, **fields), []
        while True:
            response = await self.stub.ListVideoSessions(request, metadata=self.metadata)
            assert len(response.sessions) <= 2
            found += response.sessions
            request.page_token = response.next_page_token
            if not request.page_token:
                return found

    async def events(self, **fields: object) -> list[video_pb2.StoredVideoEvent]:
        """All pages."""
        request, found = video_pb2.ListVideoEventsRequest(page_size=2, **fields), []
        while True:
            response = await self.stub.ListVideoEvents(request, metadata=self.metadata)
            assert len(response.events) <= 2
            found += response.events
            request.page_token = response.next_page_token
            if not request.page_token:
                return found
