"""quietus.ingest.v1.VoiceService."""

from uuid import UUID

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.common.v1.types_pb2 import Emotion
from quietus.ingest.v1 import voice_pb2, voice_pb2_grpc
from quietus.ingest.v1.predictions_pb2 import TranscriptState
from quietus_edge.normalise import four_decimals
from services.ingest.features import read_features, to_features
from services.ingest.service.voice import VoiceSessions
from services.ingest.servicer.pages import pages_of
from services.ingest.servicer.words import words_of
from services.ingest.vocabulary import EMOTIONS, TRANSCRIPT_STATES
from services.ingest.voice import VoiceContent, VoiceSession

PAGE_DEFAULT, PAGE_MAX = 50, 200


class VoiceServicer(voice_pb2_grpc.VoiceServiceServicer):
    def __init__(self, sessions: VoiceSessions, page_tokens: PageTokens) -> None:
        self._sessions = sessions
        self._page_tokens = page_tokens

    async def RecordVoiceSession(
        self, request: voice_pb2.RecordVoiceSessionRequest, context: ServicerContext
    ) -> voice_pb2.RecordVoiceSessionResponse:
        words = words_of(
            request.WhichOneof("words"), request.sealed_transcript, request.transcript, request.transcript_state
        )
        session_id = UUID(request.voice_session_id)
        session = await self._sessions.record(current_caller(), session_id, _content(request), words)
        return voice_pb2.RecordVoiceSessionResponse(session=to_voice_session(session))

    async def GetVoiceSession(
        self, request: voice_pb2.GetVoiceSessionRequest, context: ServicerContext
    ) -> voice_pb2.GetVoiceSessionResponse:
        session = await self._sessions.get(current_caller(), UUID(request.voice_session_id))
        return voice_pb2.GetVoiceSessionResponse(session=to_voice_session(session))

    async def ListVoiceSessions(
        self, request: voice_pb2.ListVoiceSessionsRequest, context: ServicerContext
    ) -> voice_pb2.ListVoiceSessionsResponse:
        pages = pages_of(self._page_tokens, request)
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        before = pages.after(request.page_token)
        found = await self._sessions.page(current_caller(), request.anonymous_id, before, size)
        token = pages.after_last(*found, lambda item: (item.content.start_time, item.voice_session_id))
        return voice_pb2.ListVoiceSessionsResponse(sessions=map(to_voice_session, found.items), next_page_token=token)

    async def MarkPatternsExtracted(
        self, request: voice_pb2.MarkPatternsExtractedRequest, context: ServicerContext
    ) -> voice_pb2.MarkPatternsExtractedResponse:
        ids = {UUID(voice_session_id) for voice_session_id in request.voice_session_ids}
        marked = await self._sessions.mark_extracted(current_caller(), ids)
        return voice_pb2.MarkPatternsExtractedResponse(marked=marked)


def _content(request: voice_pb2.RecordVoiceSessionRequest) -> VoiceContent:
    return VoiceContent(
        start_time=to_datetime(request.start_time),
        end_time=to_datetime(request.end_time),
        emotion=EMOTIONS[request.emotion],
        confidence=four_decimals(request.confidence),
        features=read_features(request.features),
        language=request.language,
        model_version=request.model_version,
    )


def to_voice_session(session: VoiceSession) -> voice_pb2.VoiceSession:
    content = session.content
    return voice_pb2.VoiceSession(
        voice_session_id=str(session.voice_session_id),
        anonymous_id=session.anonymous_id,
        start_time=to_timestamp(content.start_time),
        end_time=to_timestamp(content.end_time),
        emotion=Emotion.ValueType(EMOTIONS.index(content.emotion)),
        confidence=content.confidence,
        features=to_features(content.features),
        sealed_transcript=session.words.content,
        transcript_state=TranscriptState.ValueType(TRANSCRIPT_STATES.index(session.words.state)),
        language=content.language,
        model_version=content.model_version,
        processed=session.processed,
        patterns_extracted=session.patterns_extracted,
        delete_time=to_timestamp(session.delete_time),
        create_time=to_timestamp(session.receive_time),
    )
