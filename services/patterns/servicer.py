"""PatternService: contract in, use case, contract out."""

from datetime import datetime
from typing import Any
from uuid import UUID

import grpc

from libs.common.pagination import PageTokens, page_size
from libs.common.rpc.caller import current_caller
from quietus.patterns.v1 import patterns_pb2 as contract
from quietus.patterns.v1.patterns_pb2_grpc import PatternServiceServicer
from services.patterns.service.answers import Answers
from services.patterns.telling import (
    assessment_message,
    baseline_message,
    change_message,
    interface_message,
    pattern_message,
)

Context = grpc.aio.ServicerContext[Any, Any]

SERVICE = "quietus.patterns.v1.PatternService"
PAGE_DEFAULT = 50
PAGE_MOST = 200


class PatternServicer(PatternServiceServicer):
    def __init__(self, answers: Answers, page_tokens: PageTokens) -> None:
        self._answers = answers
        self._page_tokens = page_tokens

    async def GetCurrentPattern(
        self, request: contract.GetCurrentPatternRequest, context: Context
    ) -> contract.GetCurrentPatternResponse:
        person, pattern = await self._answers.current_pattern(current_caller(), request.anonymous_id)
        return contract.GetCurrentPatternResponse(pattern=pattern_message(pattern, person.anonymous_id))

    async def GetInterface(
        self, request: contract.GetInterfaceRequest, context: Context
    ) -> contract.GetInterfaceResponse:
        person, interface = await self._answers.interface(current_caller(), request.anonymous_id)
        return contract.GetInterfaceResponse(interface=interface_message(interface, person.anonymous_id))

    async def ListInterfaceChanges(
        self, request: contract.ListInterfaceChangesRequest, context: Context
    ) -> contract.ListInterfaceChangesResponse:
        method = f"ListInterfaceChanges {request.anonymous_id}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        opened = self._page_tokens.open(method, request.page_token)
        before = None if opened is None else (datetime.fromisoformat(str(opened[0])), UUID(str(opened[1])))
        found = await self._answers.changes(current_caller(), request.anonymous_id, before, size + 1)
        response = contract.ListInterfaceChangesResponse(changes=[change_message(change) for change in found[:size]])
        if len(found) > size:
            last = found[size - 1]
            values = (last.change_time.isoformat(), str(last.change_id))
            response.next_page_token = self._page_tokens.seal(method, values)
        return response

    async def ListRiskAssessments(
        self, request: contract.ListRiskAssessmentsRequest, context: Context
    ) -> contract.ListRiskAssessmentsResponse:
        method = f"ListRiskAssessments {request.anonymous_id}"
        size = page_size(request.page_size, PAGE_DEFAULT, PAGE_MOST)
        opened = self._page_tokens.open(method, request.page_token)
        before = None if opened is None else UUID(str(opened[0]))
        person, found = await self._answers.assessments(current_caller(), request.anonymous_id, before, size + 1)
        response = contract.ListRiskAssessmentsResponse(
            assessments=[assessment_message(record, person.anonymous_id) for record in found[:size]]
        )
        if len(found) > size:
            response.next_page_token = self._page_tokens.seal(method, (str(found[size - 1].session_id),))
        return response

    async def ListBaselines(
        self, request: contract.ListBaselinesRequest, context: Context
    ) -> contract.ListBaselinesResponse:
        found = await self._answers.baselines(current_caller(), request.anonymous_id)
        return contract.ListBaselinesResponse(baselines=[baseline_message(baseline) for baseline in found])
