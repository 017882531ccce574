import asyncio
from uuid import uuid4

import grpc
import pytest

from libs.common.db.database import Database
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR, ROLE_DEVICE, ROLE_SERVICE, ROLE_USER, Role
from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client, new_user
from tests.identity.support import refused


async def test_a_created_person_is_shown_by_anonymous_id_alone(client: Client) -> None:
    request = new_user("amina@example.org", ROLE_COUNSELOR)
    request.timezone = "Africa/Kampala"

    created = (await client.users.CreateUser(request, metadata=client.admin)).user

    assert created.anonymous_id.startswith("p_")
    assert (created.role, created.active, created.timezone) == (ROLE_COUNSELOR, True, "Africa/Kampala")
    found = await client.users.GetUser(
        identity_pb2.GetUserRequest(anonymous_id=created.anonymous_id), metadata=client.admin
    )
    assert found.user == created


async def test_address_and_name_are_stored_sealed(client: Client, database: Database) -> None:
    await client.users.CreateUser(new_user("amina@example.org"), metadata=client.admin)

    async with database.read() as tx:
        rows = await tx.fetch_all("SELECT email, full_name, email_hash, password_hash, timezone FROM users")

    assert not [row for row in rows if b"amina" in row.email or b"Wanjiru" in row.full_name]
    assert all(row.password_hash.startswith("$argon2id$") for row in rows)
    assert all(len(row.email_hash) == 64 for row in rows)


async def test_a_repeated_request_gets_the_same_person(client: Client, database: Database) -> None:
    request = new_user("amina@example.org")

    answers = await asyncio.gather(*(client.users.CreateUser(request, metadata=client.admin) for _ in range(3)))

    assert len({answer.user.anonymous_id for answer in answers}) == 1
    async with database.read() as tx:
        assert await tx.scalar("SELECT count(*) FROM users") == 2  # and the admin


@pytest.mark.parametrize(
    "changed", [{"email": "other@example.org"}, {"password": "another password"}, {"full_name": "Other"}]
)
async def test_a_request_id_stands_for_one_content(client: Client, changed: dict[str, str]) -> None:
    request = new_user("amina@example.org")
    await client.users.CreateUser(request, metadata=client.admin)

    request.MergeFrom(identity_pb2.CreateUserRequest(**changed))
    with refused(grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED"):
        await client.users.CreateUser(request, metadata=client.admin)


async def test_an_address_is_one_persons_however_it_is_spelled(client: Client) -> None:
    await client.users.CreateUser(new_user("amina@example.org"), metadata=client.admin)
    with refused(grpc.StatusCode.ALREADY_EXISTS, "EMAIL_TAKEN"):
        await client.users.CreateUser(new_user("Amina@Example.org"), metadata=client.admin)


@pytest.mark.parametrize("role", [ROLE_DEVICE, ROLE_SERVICE])
async def test_only_people_are_created(client: Client, role: Role.ValueType) -> None:
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "ROLE_NOT_ALLOWED"):
        await client.users.CreateUser(new_user("amina@example.org", role), metadata=client.admin)


async def test_a_timezone_must_be_known(client: Client) -> None:
    request = new_user("amina@example.org")
    request.timezone = "Africa/Atlantis"
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "TIMEZONE_UNKNOWN"):
        await client.users.CreateUser(request, metadata=client.admin)


@pytest.mark.parametrize(
    "bad", [{"email": "no address"}, {"password": "short"}, {"request_id": "1"}, {"full_name": "x" * 121}]
)
async def test_what_the_contract_refuses_is_refused(client: Client, bad: dict[str, str]) -> None:
    request = new_user("amina@example.org")
    request.MergeFrom(identity_pb2.CreateUserRequest(**bad))
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"):
        await client.users.CreateUser(request, metadata=client.admin)


async def test_only_an_admin_creates_and_lists(client: Client) -> None:
    user = await client.person()
    with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
        await client.users.CreateUser(new_user("amina@example.org"), metadata=user.metadata)
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
    for _ in range(4):
        await client.users.CreateUser(new_user(f"{uuid4().hex}@example.org"), metadata=client.admin)

    seen: list[identity_pb2.User] = []
    token, pages = "", 0
    while token or not pages:
        request = identity_pb2.ListUsersRequest(page_size=2, page_token=token)
        page = await client.users.ListUsers(request, metadata=client.admin)
        seen += page.users
        token, pages = page.next_page_token, pages + 1

    assert pages == 3
    assert len({user.anonymous_id for user in seen}) == len(seen) == 5
    times = [user.create_time.ToNanoseconds() for user in seen]
    assert times == sorted(times)


async def test_a_page_token_is_of_its_method_alone(client: Client) -> None:
    counselor = await client.counselor()
    request = identity_pb2.ListUsersRequest(page_size=1)
    token = (await client.users.ListUsers(request, metadata=client.admin)).next_page_token
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await client.care.ListCare(identity_pb2.ListCareRequest(page_token=token), metadata=counselor.metadata)
