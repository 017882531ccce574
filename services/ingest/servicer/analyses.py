"""quietus.ingest.v1.AnalysisService."""

from uuid import UUID

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from libs.common.timestamps import to_datetime, to_timestamp
from quietus.ingest.v1 import analysis_pb2, analysis_pb2_grpc
from quietus.ingest.v1.predictions_pb2 import TranscriptState
from quietus_edge.normalise import four_decimals
from services.ingest.analyses import Analysis, AnalysisContent
from services.ingest.service.analyses import Analyses
from services.ingest.servicer.pages import pages_of
from services.ingest.servicer.words import words_of
from services.ingest.store.analyses import Filter
from services.ingest.vocabulary import TRANSCRIPT_STATES

PAGE_DEFAULT, PAGE_MAX = 50, 200


class AnalysisServicer(analysis_pb2_grpc.AnalysisServiceServicer):
    def __init__(self, analyses: Analyses, page_tokens: PageTokens) -> None:
        self._analyses = analyses
        self._page_tokens = page_tokens

    async def RecordAnalysis(
        self, request: analysis_pb2.RecordAnalysisRequest, context: ServicerContext
    ) -> analysis_pb2.RecordAnalysisResponse:
        words = words_of(
            request.WhichOneof("input"), request.sealed_input_text, request.input_text, request.input_text_state
        )
        analysis = await self._analyses.record(current_caller(), UUID(request.request_id), _content(request), words)
        return analysis_pb2.RecordAnalysisResponse(analysis=to_analysis(analysis))

    async def GetAnalysis(
        self, request: analysis_pb2.GetAnalysisRequest, context: ServicerContext
    ) -> analysis_pb2.GetAnalysisResponse:
        analysis = await self._analyses.get(current_caller(), UUID(request.request_id))
        return analysis_pb2.GetAnalysisResponse(analysis=to_analysis(analysis))

    async def ListAnalyses(
        self, request: analysis_pb2.ListAnalysesRequest, context: ServicerContext
    ) -> analysis_pb2.ListAnalysesResponse:
        pages = pages_of(self._page_tokens, request)
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MAX)
        wanted = Filter(
            request.predicted_label,
            to_datetime(request.start_time) if request.HasField("start_time") else None,
            to_datetime(request.end_time) if request.HasField("end_time") else None,
        )
        before = pages.after(request.page_token)
        found = await self._analyses.page(current_caller(), request.anonymous_id, wanted, before, size)
        token = pages.after_last(*found, lambda item: (item.content.analyze_time, item.request_id))
        return analysis_pb2.ListAnalysesResponse(analyses=map(to_analysis, found.items), next_page_token=token)


def _content(request: analysis_pb2.RecordAnalysisRequest) -> AnalysisContent:
    return AnalysisContent(
        source=request.source,
        predicted_label=request.predicted_label,
        confidence=four_decimals(request.confidence),
        model_version=request.model_version,
        processing_milliseconds=request.processing_milliseconds,
        submit_time=to_datetime(request.submit_time),
        analyze_time=to_datetime(request.analyze_time),
    )


def to_analysis(analysis: Analysis) -> analysis_pb2.Analysis:
    content = analysis.content
    return analysis_pb2.Analysis(
        request_id=str(analysis.request_id),
        anonymous_id=analysis.anonymous_id,
        source=content.source,
        predicted_label=content.predicted_label,
        confidence=content.confidence,
        model_version=content.model_version,
        processing_milliseconds=content.processing_milliseconds,
        submit_time=to_timestamp(content.submit_time),
        analyze_time=to_timestamp(content.analyze_time),
        sealed_input_text=analysis.words.content,
        input_text_state=TranscriptState.ValueType(TRANSCRIPT_STATES.index(analysis.words.state)),
        create_time=to_timestamp(analysis.receive_time),
    )
