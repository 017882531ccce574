"""Who is who in a slice, as identity's feed tells it, and who may reach whom."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from libs.common.db.database import Database
from libs.common.feed.handler import UnknownEvent, read_event
from libs.common.people import Access, Person, ensure_user
from libs.common.people.follower import IdentityHandler
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import (
    RELATION_SELF,
    RELATION_SELF_OR_CARE,
    ROLE_ADMIN,
    ROLE_COUNSELOR,
    ROLE_DEVICE,
    ROLE_SERVICE,
    ROLE_UNSPECIFIED,
    ROLE_USER,
    Role,
)
from quietus.identity.v1.events_pb2 import (
    CareAssigned,
    CareEnded,
    ConsentChanged,
    Event,
    PublicKeyRegistered,
    UserCreated,
)
from tests.conftest import MakeDatabase

NOW = Timestamp(seconds=1_800_000_000)
PERSON, OTHER = Person(uuid4(), "anonymous-person"), Person(uuid4(), "anonymous-other")
COUNSELOR = uuid4()

CREATED = Event(
    user_created=UserCreated(
        user_id=str(PERSON.user_id),
        anonymous_id=PERSON.anonymous_id,
        role=ROLE_USER,
        timezone="Africa/Nairobi",
        event_time=NOW,
    )
)
CARED_FOR = Event(
    care_assigned=CareAssigned(
        counselor_id=str(COUNSELOR), user_id=str(PERSON.user_id), anonymous_id=PERSON.anonymous_id, event_time=NOW
    )
)
LEFT_ALONE = Event(
    care_ended=CareEnded(
        counselor_id=str(COUNSELOR), user_id=str(PERSON.user_id), anonymous_id=PERSON.anonymous_id, event_time=NOW
    )
)
CONSENTED = Event(
    consent_changed=ConsentChanged(
        user_id=str(PERSON.user_id), anonymous_id=PERSON.anonymous_id, research=True, event_time=NOW
    )
)
KEY_REGISTERED = Event(public_key_registered=PublicKeyRegistered(user_id=str(PERSON.user_id), public_key=bytes(32)))


def caller(role: "Role.ValueType", person: Person | None = None) -> Caller:
    return Caller(
        user_id=person.user_id if person else None,
        role=role,
        scopes=frozenset(),
        anonymous_id=person.anonymous_id if person else "",
        device_id=None,
        service=None,
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )


COUNSELOR_CALLER = caller(ROLE_COUNSELOR, Person(COUNSELOR, "anonymous-counselor"))


@pytest.fixture
def database(make_database: MakeDatabase) -> Database:
    return make_database("alerts")


@pytest.fixture
def access(database: Database) -> Access:
    return Access(database)


async def follow(database: Database, *events: Event) -> None:
    handler = IdentityHandler()
    batch = [
        read_event(handler, position, 0, event.SerializeToString(), datetime.now(UTC))
        for position, event in enumerate(events, 1)
    ]
    async with database.transaction() as tx:
        await handler.apply(tx, batch)


async def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    async with database.read() as tx:
        return [tuple(row) for row in await tx.fetch_all(statement)]


async def test_several_may_make_the_same_person_at_once(make_database: MakeDatabase) -> None:
    database = make_database("alerts", pool_size=8)

    async def make(number: int) -> None:
        async with database.transaction() as tx:
            await ensure_user(tx, UUID(int=number), f"anonymous-{number}")

    for number in range(1, 101):
        await asyncio.gather(*(make(number) for _ in range(8)))


async def test_feed_tells_who_is_who(database: Database) -> None:
    async with database.transaction() as tx:
        await ensure_user(tx, PERSON.user_id, PERSON.anonymous_id)
    await follow(database, CREATED, CREATED, KEY_REGISTERED, CONSENTED)
    people = await rows(database, "SELECT user_id, anonymous_id, timezone FROM users")
    assert people == [(PERSON.user_id, PERSON.anonymous_id, "Africa/Nairobi")]


async def test_counselors_have_nothing_to_keep(database: Database) -> None:
    counselor = UserCreated(user_id=str(COUNSELOR), anonymous_id="anonymous-counselor", role=ROLE_COUNSELOR)
    await follow(database, Event(user_created=counselor))
    assert await rows(database, "SELECT user_id FROM users") == []


async def test_care_begins_and_ends(database: Database) -> None:
    await follow(database, CARED_FOR, CARED_FOR)
    care = await rows(database, "SELECT counselor_id, user_id, assign_time FROM care_assignments")
    assert care == [(COUNSELOR, PERSON.user_id, NOW.ToDatetime(UTC))]
    await follow(database, LEFT_ALONE, LEFT_ALONE)
    assert await rows(database, "SELECT * FROM care_assignments") == []


@pytest.mark.parametrize("event", [CREATED, CARED_FOR, LEFT_ALONE, KEY_REGISTERED, CONSENTED])
def test_every_event_is_about_its_person(event: Event) -> None:
    assert IdentityHandler().read(event.SerializeToString()).user_id == PERSON.user_id


async def test_unknown_kind_stops(database: Database) -> None:
    with pytest.raises(UnknownEvent):
        IdentityHandler().read(b"")
    with pytest.raises(UnknownEvent):
        await follow(database, CREATED, Event())
    assert await rows(database, "SELECT * FROM users") == []


@pytest.mark.parametrize("role", [ROLE_USER, ROLE_DEVICE])
@pytest.mark.parametrize("anonymous_id", ["", PERSON.anonymous_id])
async def test_people_and_their_devices_reach_themselves(
    database: Database, access: Access, role: "Role.ValueType", anonymous_id: str
) -> None:
    async with database.read() as tx:
        assert await access.person_for(tx, caller(role, PERSON), anonymous_id, RELATION_SELF) == PERSON
        await access.check_owner(tx, caller(role, PERSON), PERSON.user_id, "THING_NOT_FOUND")


@pytest.mark.parametrize(
    ("who", "anonymous_id"),
    [
        (caller(ROLE_USER, OTHER), PERSON.anonymous_id),
        (caller(ROLE_DEVICE, OTHER), PERSON.anonymous_id),
        (caller(ROLE_USER, OTHER), "nobody"),
        (caller(ROLE_COUNSELOR, OTHER), PERSON.anonymous_id),
        (caller(ROLE_COUNSELOR, OTHER), "nobody"),
        (COUNSELOR_CALLER, ""),
        (caller(ROLE_ADMIN, OTHER), PERSON.anonymous_id),
        (caller(ROLE_ADMIN, OTHER), ""),
        (caller(ROLE_SERVICE), PERSON.anonymous_id),
        (caller(ROLE_SERVICE), ""),
        (caller(ROLE_UNSPECIFIED), ""),
    ],
)
async def test_everybody_else_gets_one_answer(
    database: Database, access: Access, who: Caller, anonymous_id: str
) -> None:
    await follow(database, CREATED, CARED_FOR)
    async with database.read() as tx:
        with pytest.raises(AppError) as raised:
            await access.person_for(tx, who, anonymous_id)
        assert (raised.value.kind, raised.value.reason) == (ErrorKind.PERMISSION_DENIED, "NOT_YOUR_PERSON")
        assert not raised.value.metadata


@pytest.mark.parametrize("owner", [PERSON.user_id, None])
@pytest.mark.parametrize("role", [ROLE_USER, ROLE_DEVICE, ROLE_COUNSELOR, ROLE_ADMIN, ROLE_SERVICE])
async def test_what_is_anothers_looks_as_if_it_were_not_there(
    database: Database, access: Access, owner: UUID | None, role: "Role.ValueType"
) -> None:
    await follow(database, CREATED, CARED_FOR)
    async with database.read() as tx:
        with pytest.raises(AppError) as raised:
            await access.check_owner(tx, caller(role, OTHER), owner, "THING_NOT_FOUND")
        assert (raised.value.kind, raised.value.reason) == (ErrorKind.NOT_FOUND, "THING_NOT_FOUND")


async def test_counselor_reaches_people_in_care_and_each_look_is_audited(database: Database, access: Access) -> None:
    await follow(database, CREATED, CARED_FOR)
    async with database.read() as tx:
        person = await access.person_for(tx, COUNSELOR_CALLER, PERSON.anonymous_id, RELATION_SELF_OR_CARE)
        await access.check_owner(tx, COUNSELOR_CALLER, PERSON.user_id, "THING_NOT_FOUND")
    assert person == PERSON
    audited = await rows(database, "SELECT user_id, actor, action, resource_type FROM audit_logs")
    assert audited == [(PERSON.user_id, "counselor:anonymous-counselor", "read", "alerts")] * 2


async def test_counselor_reaches_nobody_where_only_oneself_counts(database: Database, access: Access) -> None:
    await follow(database, CREATED, CARED_FOR)
    async with database.read() as tx:
        with pytest.raises(AppError):
            await access.person_for(tx, COUNSELOR_CALLER, PERSON.anonymous_id, RELATION_SELF)
        with pytest.raises(AppError):
            await access.check_owner(tx, COUNSELOR_CALLER, PERSON.user_id, "THING_NOT_FOUND", RELATION_SELF)


async def test_care_that_ended_opens_nothing(database: Database, access: Access) -> None:
    await follow(database, CREATED, CARED_FOR, LEFT_ALONE)
    async with database.read() as tx:
        with pytest.raises(AppError):
            await access.person_for(tx, COUNSELOR_CALLER, PERSON.anonymous_id)
