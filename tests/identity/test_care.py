import grpc
import pytest

from quietus.identity.v1 import identity_pb2
from tests.identity.conftest import Client, Person
from tests.identity.support import refused

pytestmark = pytest.mark.asyncio(loop_scope="package")


def assignment(counselor: Person, person: Person, *, consent: bool = True) -> identity_pb2.AssignCareRequest:
    return identity_pb2.AssignCareRequest(
        counselor_anonymous_id=counselor.anonymous_id, anonymous_id=person.anonymous_id, consent=consent
    )


def ending(counselor: Person, person: Person) -> identity_pb2.EndCareRequest:
    return identity_pb2.EndCareRequest(counselor_anonymous_id=counselor.anonymous_id, anonymous_id=person.anonymous_id)


async def in_care(client: Client, counselor: Person) -> list[str]:
    answer = await client.care.ListCare(identity_pb2.ListCareRequest(), metadata=counselor.metadata)
    return [user.anonymous_id for user in answer.users]


async def test_a_counselor_sees_a_person_from_the_assignment_to_its_end(client: Client) -> None:
    counselor, person = await client.counselor(), await client.person()
    look = identity_pb2.GetUserRequest(anonymous_id=person.anonymous_id)
    with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON"):
        await client.users.GetUser(look, metadata=counselor.metadata)

    for _ in range(2):
        await client.assign(counselor, person)
        assert await in_care(client, counselor) == [person.anonymous_id]
        found = await client.users.GetUser(look, metadata=counselor.metadata)
        assert found.user.anonymous_id == person.anonymous_id
        for _ in range(2):
            await client.care.EndCare(ending(counselor, person), metadata=client.admin)
        assert await in_care(client, counselor) == []
        with refused(grpc.StatusCode.PERMISSION_DENIED, "NOT_YOUR_PERSON"):
            await client.users.GetUser(look, metadata=counselor.metadata)


async def test_each_consent_and_each_look_leaves_a_trace(client: Client) -> None:
    counselor, person = await client.counselor(), await client.person()
    await client.assign(counselor, person)
    await client.assign(counselor, person)
    look = identity_pb2.GetUserRequest(anonymous_id=person.anonymous_id)
    await client.users.GetUser(look, metadata=counselor.metadata)
    await client.care.EndCare(ending(counselor, person), metadata=client.admin)
    await client.assign(counselor, person)

    async with client.database.read() as tx:
        consents = await tx.fetch_all(
            "SELECT ended_at IS NULL AS stands FROM care_assignments AS care JOIN users USING (user_id)"
            " WHERE anonymous_id = :id ORDER BY care.id",
            {"id": person.anonymous_id},
        )
        audited = await tx.fetch_all(
            "SELECT action, split_part(actor, ':', 1) AS actor FROM audit_logs JOIN users USING (user_id)"
            " WHERE anonymous_id = :id AND action <> 'login.succeeded' ORDER BY id",
            {"id": person.anonymous_id},
        )

    assert [row.stands for row in consents] == [False, True]
    assert [tuple(row) for row in audited] == [
        ("user.created", "admin"),
        ("care.assigned", "admin"),
        ("user.read", "counselor"),
        ("care.ended", "admin"),
        ("care.assigned", "admin"),
    ]


async def test_nobody_comes_into_care_without_consent(client: Client) -> None:
    counselor, person = await client.counselor(), await client.person()
    with refused(grpc.StatusCode.INVALID_ARGUMENT, "CONSENT_REQUIRED"):
        await client.care.AssignCare(assignment(counselor, person, consent=False), metadata=client.admin)
    assert await in_care(client, counselor) == []


async def test_counselors_care_for_people(client: Client) -> None:
    counselor, person = await client.counselor(), await client.person()
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_A_COUNSELOR"):
        await client.care.AssignCare(assignment(person, person), metadata=client.admin)
    with refused(grpc.StatusCode.FAILED_PRECONDITION, "NOT_A_PERSON_IN_CARE"):
        await client.care.AssignCare(assignment(counselor, counselor), metadata=client.admin)


async def test_only_an_admin_assigns_and_only_a_counselor_lists(client: Client) -> None:
    counselor, person = await client.counselor(), await client.person()
    for metadata in (counselor.metadata, person.metadata):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await client.care.AssignCare(assignment(counselor, person), metadata=metadata)
    for metadata in (client.admin, person.metadata):
        with refused(grpc.StatusCode.PERMISSION_DENIED, "ROLE_NOT_ALLOWED"):
            await client.care.ListCare(identity_pb2.ListCareRequest(), metadata=metadata)


async def test_a_listing_is_oldest_assignment_first_and_of_one_counselor(client: Client) -> None:
    counselor, other = await client.counselor(), await client.counselor()
    people = [await client.person() for _ in range(3)]
    for person in people:
        await client.assign(counselor, person)
    await client.assign(other, people[0])

    first = await client.care.ListCare(identity_pb2.ListCareRequest(page_size=2), metadata=counselor.metadata)
    request = identity_pb2.ListCareRequest(page_size=2, page_token=first.next_page_token)
    second = await client.care.ListCare(request, metadata=counselor.metadata)

    listed = [user.anonymous_id for page in (first, second) for user in page.users]
    assert listed == [person.anonymous_id for person in people]
    assert second.next_page_token == ""
