from collections.abc import Sequence
from uuid import UUID

import pytest

from libs.common.people.follower import IdentityHandler
from libs.common.rpc.client import Metadata, bearer
from quietus.common.v1 import feed_pb2
from quietus.common.v1.feed_pb2_grpc import FeedServiceStub
from quietus.identity.v1 import identity_pb2
from quietus.identity.v1.events_pb2 import Event
from tests.identity.conftest import Client, Person
from tests.identity.test_care import ending
from tests.identity.test_keys import KEY

pytestmark = pytest.mark.asyncio(loop_scope="package")


async def a_life(client: Client) -> tuple[Person, Person]:
    """A person and a counselor after everything that the feed tells of."""
    counselor, person = await client.counselor(), await client.person()
    await client.assign(counselor, person)
    await client.keys.RegisterKey(KEY, metadata=person.metadata)
    await client.care.EndCare(ending(counselor, person), metadata=client.admin)
    await client.assign(counselor, person)
    for granted in (True, False, True):
        await client.consent(person, granted)
    return counselor, person


async def service(client: Client) -> Metadata:
    return bearer(await client.exchange(client.settings.api_key_path("fusion").read_text().strip()))


def events_in(payload: bytes) -> list[Event]:
    return [Event.FromString(event) for event in feed_pb2.FeedPayload.FromString(payload).events]


async def followed(client: Client) -> list[Event]:
    """All that the feed holds, from its beginning to its head."""
    feed, metadata = FeedServiceStub(client.channel), await service(client)
    state = await feed.GetFeed(feed_pb2.GetFeedRequest(), metadata=metadata)
    request = feed_pb2.FollowRequest(feed_id=state.feed_id, follower="fusion")
    call = feed.Follow(request, metadata=metadata)
    found: list[Event] = []
    async for response in call:
        found += events_in(response.payload)
        if response.position == state.partitions[0].head_position:
            break
    call.cancel()
    return found


async def backfilled(client: Client) -> list[Event]:
    request = feed_pb2.BackfillRequest(follower="fusion")
    call = FeedServiceStub(client.channel).Backfill(request, metadata=await service(client))
    return [event async for response in call for event in events_in(response.payload)]


def of_person(events: Sequence[Event], user_id: UUID) -> list[Event]:
    handler = IdentityHandler()
    return [event for event in events if handler.read(event.SerializeToString()).user_id == user_id]


async def test_the_feed_tells_a_life_in_order(client: Client) -> None:
    counselor, person = await a_life(client)

    events = await followed(client)

    async with client.database.read() as tx:
        rows = await tx.fetch_all("SELECT anonymous_id, user_id FROM users")
    ids = {row.anonymous_id: row.user_id for row in rows}
    mine = of_person(events, ids[person.anonymous_id])
    assert [event.WhichOneof("event") for event in mine] == [
        "user_created",
        "care_assigned",
        "public_key_registered",
        "care_ended",
        "care_assigned",
        "consent_changed",
        "consent_changed",
        "consent_changed",
    ]
    assert [event.consent_changed.research for event in mine[5:]] == [True, False, True]
    created, assigned, key = mine[0].user_created, mine[1].care_assigned, mine[2].public_key_registered
    assert (created.anonymous_id, created.timezone) == (person.anonymous_id, "Africa/Nairobi")
    assert assigned.counselor_id == str(ids[counselor.anonymous_id])
    assert key.public_key == KEY.public_key
    answer = await client.keys.GetPublicKey(identity_pb2.GetPublicKeyRequest(), metadata=person.metadata)
    assert key.key_id == answer.key_id


async def test_a_backfill_tells_the_same_of_each_person(client: Client) -> None:
    for _ in range(2):
        await a_life(client)

    told, again = await followed(client), await backfilled(client)

    assert len(again) == len(told)
    async with client.database.read() as tx:
        people = await tx.fetch_all("SELECT user_id FROM users")
    for row in people:
        assert of_person(again, row.user_id) == of_person(told, row.user_id)


async def test_what_changes_nothing_tells_nothing(client: Client) -> None:
    counselor, person = await a_life(client)
    before = await followed(client)

    await client.assign(counselor, person)
    await client.keys.RegisterKey(KEY, metadata=person.metadata)
    await client.log_in(person.email)
    await client.consent(person, True)

    assert await followed(client) == before
