import asyncio

import grpc
import pytest

from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE, ROLE_USER
from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client, new_email, new_user
from tests.identity.support import refused

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def test_a_created_person_is_shown_by_anonymous_id_alone(client: Client) -> None:
    request = new_user(new_email(), ROLE_COUNSELOR)
    request.timezone = "Africa/Kampala"

    created = (await client.users.CreateUser(request, metadata=client.admin)).user

    assert created.anonymous_id.startswith("p_")
    assert (created.role, created.active, created.timezone) == (ROLE_COUNSELOR, True, "Africa/Kampala")
    found = await client.users.GetUser(
        identity_pb2.GetUserRequest(anonymous_id=created.anonymous_id), metadata=client.admin
    )
    assert found.user == created


async def test_address_and_name_are_stored_sealed(client: Client) -> None:
    email = new_email()
    await client.users.CreateUser(new_user(email), metadata=client.admin)

    async with client.database.read() as tx:
        rows = await tx.fetch_all("SELECT email, full_name, email_hash, password_hash FROM users")

    assert not [row for row in rows if email.encode() in row.email or b"Wanjiru" in row.full_name]
    assert all(row.password_hash.startswith("$argon2id$") for row in rows)
    assert all(len(row.email_hash) == 64 and email not in row.email_hash for row in rows)


async def test_a_repeated_request_gets_the_same_person(client: Client) -> None:
    request = new_user(new_email())

    answers = await asyncio.gather(*(client.users.CreateUser(request, metadata=client.admin) for _ in range(3)))

    assert len({answer.user.anonymous_id for answer in answers}) == 1


async def test_a_request_id_stands_for_one_content(client: Client) -> None:
    request = new_user(new_email())
    await client.users.CreateUser(request, metadata=client.admin)

    for changed in ({"email": "other@example.org"}, {"password": "another password"}, {"full_name": "Other"}):
        other = identity_pb2.CreateUserRequest()
        other.CopyFrom(request)
        other.MergeFrom(identity_pb2.CreateUserRequest(**changed))
        with refused(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
            await client.users.CreateUser(other, metadata=client.admin)


async def test_an_address_is_one_persons_however_it_is_spelled(client: Client) -> None:
    email = new_email()
    await client.users.CreateUser(new_user(email), metadata=client.admin)
    with refused(grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN"):
        await client.users.CreateUser(new_user(f" {email.upper()}".strip()), metadata=client.admin)


async def test_only_people_are_created(client: Client) -> None:
    for role in (ROLE_DEVICE, ROLE_SERVICE):
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "ROLE_NOT_ALLOWED"):
            await client.users.CreateUser(new_user(new_email(), role), metadata=client.admin)


async def test_a_timezone_must_be_known(client: Client) -> None:
    request = new_user(new_email())
    request.timezone = "Africa/Atlantis"
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TIMEZONE_UNKNOWN"):
        await client.users.CreateUser(request, metadata=client.admin)


async def test_what_the_contract_refuses_is_refused(client: Client) -> None:
    for bad in ({"email": "no address"}, {"password": "short"}, {"request_id": "1"}, {"full_name": "x" * 121}):
        request = new_user(new_email())
        request.MergeFrom(identity_pb2.CreateUserRequest(**bad))
        with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"):
            await client.users.CreateUser(request, metadata=client.admin)


async def test_only_an_admin_creates_and_lists(client: Client) -> None:
    user = await client.person()
    with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
        await client.users.CreateUser(new_user(new_email()), metadata=user.metadata)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
        await client.users.ListUsers(identity_pb2.ListUsersRequest(), metadata=user.metadata)
    with refused(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING"):
        await client.users.ListUsers(identity_pb2.ListUsersRequest())


async def test_a_person_sees_oneself_and_learns_nothing_of_others(client: Client) -> None:
    user, other = await client.person(), await client.person()

    mine = await client.users.GetUser(identity_pb2.GetUserRequest(), metadata=user.metadata)
    assert (mine.user.anonymous_id, mine.user.role) == (user.anonymous_id, ROLE_USER)

    for anonymous_id in (other.anonymous_id, "p_" + "a" * 20):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON"):
            request = identity_pb2.GetUserRequest(anonymous_id=anonymous_id)
            await client.users.GetUser(request, metadata=user.metadata)


async def test_an_admin_is_told_that_nobody_has_the_id(client: Client) -> None:
    with refused(grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND"):
        await client.users.GetUser(identity_pb2.GetUserRequest(anonymous_id="p_x"), metadata=client.admin)


async def test_a_listing_shows_everybody_once_oldest_first(client: Client) -> None:
    created = [await client.person() for _ in range(3)]

    seen: list[identity_pb2.User] = []
    token, pages = "", 0
    while token or not pages:
        request = identity_pb2.ListUsersRequest(page_size=2, page_token=token)
        page = await client.users.ListUsers(request, metadata=client.admin)
        assert 0 < len(page.users) <= 2
        seen += page.users
        token, pages = page.next_page_token, pages + 1

    ids = [user.anonymous_id for user in seen]
    assert len(set(ids)) == len(ids)
    assert ids[-3:] == [person.anonymous_id for person in created]


async def test_a_page_token_is_of_its_method_alone(client: Client) -> None:
    counselor = await client.counselor()
    request = identity_pb2.ListUsersRequest(page_size=1)
    token = (await client.users.ListUsers(request, metadata=client.admin)).next_page_token
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await client.care.ListCare(identity_pb2.ListCareRequest(page_token=token), metadata=counselor.metadata)
