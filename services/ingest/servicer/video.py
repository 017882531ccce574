"""quietus.ingest.v1.VideoService."""

import asyncio

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.rpc.drain import current_drain
from libs.common.rpc.errors import AppError, ErrorKind
from libs.common.timestamps import to_datetime
from quietus.ingest.v1 import video_pb2, video_pb2_grpc
from services.ingest.service.video import Video
from services.ingest.servicer.inbox import Inbox
from services.ingest.servicer.pages import pages_of
from services.ingest.servicer.video_messages import event_of, status_of, to_stored_event, to_video_session
from services.ingest.store.video_events import Filter
from services.ingest.vocabulary import CLIENT_PLATFORMS, RISK_LEVELS, VIDEO_SESSION_TYPES

SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX = 50, 200
EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX = 200, 1000


class VideoServicer(video_pb2_grpc.VideoServiceServicer):
    def __init__(self, video: Video, page_tokens: PageTokens, idle_seconds: float) -> None:
        self._video = video
        self._page_tokens = page_tokens
        self._idle_seconds = idle_seconds

    async def StartVideoSession(
        self, request: video_pb2.StartVideoSessionRequest, context: ServicerContext
    ) -> video_pb2.StartVideoSessionResponse:
        type_, platform = VIDEO_SESSION_TYPES[request.type], CLIENT_PLATFORMS[request.platform]
        start_time = to_datetime(request.start_time)
        session = await self._video.start(current_caller(), request.stream_session_id, type_, platform, start_time)
        return video_pb2.StartVideoSessionResponse(session=to_video_session(session))

    async def EndVideoSession(
        self, request: video_pb2.EndVideoSessionRequest, context: ServicerContext
    ) -> video_pb2.EndVideoSessionResponse:
        end_time = to_datetime(request.end_time)
        session = await self._video.end(current_caller(), request.stream_session_id, end_time, failed=request.failed)
        return video_pb2.EndVideoSessionResponse(session=to_video_session(session))

    # Uses the context, as gRPC allows and the stub's type doesn't know, so that reading can be given up.
    async def RecordVideoEvents(  # type: ignore[override]
        self, request_iterator: object, context: ServicerContext
    ) -> None:
        inbox, caller = Inbox(context.read, current_drain(), self._idle_seconds), current_caller()
        while (request := await inbox.next()) is not None:
            recorded = await self._video.record(caller, request.stream_session_id, list(map(event_of, request.events)))
            response = video_pb2.RecordVideoEventsResponse(
                accepted=recorded.accepted,
                duplicates=recorded.duplicates,
                conflicting_event_ids=map(str, recorded.conflicting),
            )
            await self._answer(context, response)

    async def GetVideoSession(
        self, request: video_pb2.GetVideoSessionRequest, context: ServicerContext
    ) -> video_pb2.GetVideoSessionResponse:
        session = await self._video.get(current_caller(), request.stream_session_id)
        return video_pb2.GetVideoSessionResponse(session=to_video_session(session))

    async def ListVideoSessions(
        self, request: video_pb2.ListVideoSessionsRequest, context: ServicerContext
    ) -> video_pb2.ListVideoSessionsResponse:
        pages = pages_of(self._page_tokens, request)
        size = page_size(request.page_size, SESSIONS_PAGE_DEFAULT, SESSIONS_PAGE_MAX)
        status, before = status_of(request.status), pages.after(request.page_token)
        found = await self._video.sessions(current_caller(), request.anonymous_id, status, before, size + 1)
        page, token = pages.cut(found, size, lambda item: (item.start_time, item.video_session_id))
        return video_pb2.ListVideoSessionsResponse(sessions=map(to_video_session, page), next_page_token=token)

    async def ListVideoEvents(
        self, request: video_pb2.ListVideoEventsRequest, context: ServicerContext
    ) -> video_pb2.ListVideoEventsResponse:
        pages = pages_of(self._page_tokens, request)
        size = page_size(request.page_size, EVENTS_PAGE_DEFAULT, EVENTS_PAGE_MAX)
        wanted = Filter(
            RISK_LEVELS[request.risk_level],
            to_datetime(request.start_time) if request.HasField("start_time") else None,
            to_datetime(request.end_time) if request.HasField("end_time") else None,
        )
        before = pages.after(request.page_token)
        found = await self._video.events(
            current_caller(), request.stream_session_id, request.anonymous_id, wanted, before, size + 1
        )
        page, token = pages.cut(found, size, lambda item: (item.event.event_time, item.event.event_id))
        return video_pb2.ListVideoEventsResponse(events=map(to_stored_event, page), next_page_token=token)

    async def _answer(self, context: ServicerContext, response: video_pb2.RecordVideoEventsResponse) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await context.write(response)
        except TimeoutError as error:
            raise AppError(ErrorKind.DEADLINE_EXCEEDED, "STREAM_IDLE", "answers are not read") from error
