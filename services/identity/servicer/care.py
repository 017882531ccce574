"""quietus.identity.v1.CareService."""

from libs.common.pagination import Pages, PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.service.care import Care
from services.identity.servicer.messages import to_user
from services.identity.servicer.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE


class CareServicer(identity_pb2_grpc.CareServiceServicer):
    def __init__(self, care: Care, page_tokens: PageTokens) -> None:
        self._care = care
        self._pages = Pages(page_tokens, "ListCare")

    async def AssignCare(
        self, request: identity_pb2.AssignCareRequest, context: ServicerContext
    ) -> identity_pb2.AssignCareResponse:
        await self._care.assign(
            current_caller(), request.counselor_anonymous_id, request.anonymous_id, consent=request.consent
        )
        return identity_pb2.AssignCareResponse()

    async def EndCare(
        self, request: identity_pb2.EndCareRequest, context: ServicerContext
    ) -> identity_pb2.EndCareResponse:
        await self._care.end(current_caller(), request.counselor_anonymous_id, request.anonymous_id)
        return identity_pb2.EndCareResponse()

    async def ListCare(
        self, request: identity_pb2.ListCareRequest, context: ServicerContext
    ) -> identity_pb2.ListCareResponse:
        size = page_size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        caller = current_caller()
        found = await self._care.page(caller, self._pages.after(request.page_token), size + 1)
        page, token = self._pages.cut(found, size, lambda item: (item.create_time, item.assignment_id))
        users = [to_user(assignment.person) for assignment in page]
        return identity_pb2.ListCareResponse(users=users, next_page_token=token)
