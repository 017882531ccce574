"""quietus.identity.v1.UserService."""

from uuid import UUID

from libs.common.pagination import Pages, PageTokens, page_size
from libs.common.rpc.call import ServicerContext
from libs.common.rpc.caller import current_caller
from quietus.identity.v1 import identity_pb2, identity_pb2_grpc
from services.identity.people import DEFAULT_TIMEZONE
from services.identity.service.people import NewPerson, People
from services.identity.servicer.messages import from_role, to_user
from services.identity.servicer.pages import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE


class UserServicer(identity_pb2_grpc.UserServiceServicer):
    def __init__(self, people: People, page_tokens: PageTokens) -> None:
        self._people = people
        self._pages = Pages(page_tokens, "ListUsers")

    async def CreateUser(
        self, request: identity_pb2.CreateUserRequest, context: ServicerContext
    ) -> identity_pb2.CreateUserResponse:
        new = NewPerson(
            email=request.email,
            password=request.password,
            full_name=request.full_name,
            role=from_role(request.role),
            timezone=request.timezone or DEFAULT_TIMEZONE,
        )
        person = await self._people.create(current_caller(), UUID(request.request_id), new)
        return identity_pb2.CreateUserResponse(user=to_user(person))

    async def GetUser(
        self, request: identity_pb2.GetUserRequest, context: ServicerContext
    ) -> identity_pb2.GetUserResponse:
        person = await self._people.get(current_caller(), request.anonymous_id)
        return identity_pb2.GetUserResponse(user=to_user(person))

    async def ListUsers(
        self, request: identity_pb2.ListUsersRequest, context: ServicerContext
    ) -> identity_pb2.ListUsersResponse:
        size = page_size(request.page_size, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)
        found = await self._people.page(self._pages.after(request.page_token), size + 1)
        page, token = self._pages.cut(found, size, lambda person: (person.create_time, person.user_id))
        return identity_pb2.ListUsersResponse(users=[to_user(person) for person in page], next_page_token=token)
