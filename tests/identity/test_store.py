import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from libs.common.db.database import Database
from libs.common.db.migrate import differences, downgrade_all, migrate_all
from libs.common.rpc.errors import AppError
from services.identity.api_keys import new_api_key
from services.identity.people import AccountStatus, Person, Role, new_anonymous_id
from services.identity.store import api_keys, care, logins, requests, users
from services.identity.store.requests import Request
from services.identity.store.users import Credentials
from services.identity.tables import METADATA

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def somebody(role: Role = Role.USER, at: datetime = NOW) -> Person:
    return Person(uuid4(), new_anonymous_id(), role, AccountStatus.ACTIVE, True, "UTC", at)


def credentials() -> Credentials:
    return Credentials(email=b"sealed", email_hash=uuid4().hex, password_hash="$argon2id$", full_name=b"sealed")


async def add_people(database: Database, *people: Person) -> None:
    async with database.transaction() as tx:
        for person in people:
            assert await users.create(tx, person, credentials())


async def test_a_person_is_found_by_every_key(database: Database) -> None:
    person, secret = somebody(Role.COUNSELOR), credentials()
    async with database.transaction() as tx:
        assert await users.create(tx, person, secret)
    async with database.read() as tx:
        account = await users.account_by_email_hash(tx, secret.email_hash)
        assert account is not None
        assert (account.person, account.password_hash) == (person, secret.password_hash)
        assert await users.by_id(tx, person.user_id) == person
        assert await users.by_anonymous_id(tx, person.anonymous_id) == person
        assert await users.by_id(tx, uuid4()) is None


async def test_of_two_people_with_one_address_the_first_stands(database: Database) -> None:
    secret = credentials()
    async with database.transaction() as tx:
        assert await users.create(tx, somebody(), secret)
        assert not await users.create(tx, somebody(), secret)
        assert await tx.scalar("SELECT count(*) FROM user_roles") == 1


async def test_a_request_is_found_only_after_whoever_carries_it_out_is_done(database: Database) -> None:
    caller = somebody(Role.ADMIN)
    await add_people(database, caller)
    request = Request(caller.user_id, uuid4(), caller.user_id, b"digest")
    order: list[str] = []

    async def second() -> Request | None:
        async with database.transaction() as tx:
            found = await requests.find(tx, request.caller_id, request.request_id)
            order.append("second")
            return found

    async with database.transaction() as tx:
        assert await requests.find(tx, request.caller_id, request.request_id) is None
        waiting = asyncio.create_task(second())
        await wait_for_a_waiter(database)
        await requests.add(tx, request, NOW)
        order.append("first")

    assert await waiting == request
    assert order == ["first", "second"]


async def wait_for_a_waiter(database: Database) -> None:
    async with asyncio.timeout(30):
        while True:
            async with database.read() as tx:
                if await tx.scalar("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                    return


async def test_attempts_are_kept_and_forgotten(database: Database) -> None:
    later = NOW + timedelta(minutes=5)
    async with database.transaction() as tx:
        assert await logins.lock_attempts(tx, "hash", NOW) == NOW
        await logins.keep_attempts(tx, "hash", later)
    async with database.transaction() as tx:
        assert await logins.lock_attempts(tx, "hash", NOW) == later
        await logins.forget_attempts(tx, "hash")
        assert await logins.lock_attempts(tx, "hash", NOW) == NOW


async def test_housekeeping_drops_what_is_over_and_nothing_else(database: Database) -> None:
    person = somebody()
    await add_people(database, person)
    async with database.transaction() as tx:
        for at in (NOW - timedelta(hours=1), NOW + timedelta(hours=1)):
            await logins.add_session(tx, uuid4(), person.user_id, NOW - timedelta(hours=2), at)
            await logins.lock_attempts(tx, at.isoformat(), at)
        await logins.prune(tx, NOW)
        assert await tx.scalar("SELECT count(*) FROM login_sessions") == 1
        assert await tx.scalar("SELECT count(*) FROM login_attempts") == 1


async def test_care_never_ends_before_it_began(database: Database) -> None:
    counselor, person = somebody(Role.COUNSELOR), somebody()
    await add_people(database, counselor, person)
    async with database.transaction() as tx:
        assert await care.assign(tx, uuid4(), counselor.user_id, person.user_id, NOW)
        assert not await care.assign(tx, uuid4(), counselor.user_id, person.user_id, NOW)
        assert await care.end(tx, counselor.user_id, person.user_id, NOW - timedelta(days=1)) == NOW
        assert await care.end(tx, counselor.user_id, person.user_id, NOW) is None


@pytest.mark.parametrize(
    ("user_id", "device_id", "service"),
    [(None, None, None), (None, uuid4(), None), (None, None, "fusion")],
    ids=["nobody's", "a device of nobody", "a service's, called a device's"],
)
async def test_a_device_key_has_a_person_and_a_device(
    database: Database, user_id: UUID | None, device_id: UUID | None, service: str | None
) -> None:
    with pytest.raises(AppError, match="DATABASE_ERROR"):
        async with database.transaction() as tx:
            await tx.execute(
                "INSERT INTO api_keys (id, kind, key_hash, user_id, device_id, service)"
                " VALUES (:id, 'device', 'x', :user_id, :device_id, :service)",
                {"id": uuid4(), "user_id": user_id, "device_id": device_id, "service": service},
            )


async def test_a_key_is_counted_each_time_that_it_is_used(database: Database) -> None:
    key = new_api_key()
    async with database.transaction() as tx:
        await api_keys.add(tx, uuid4(), key, api_keys.ServiceHolder("fusion"), name="fusion", now=NOW)
        for _ in range(2):
            assert await api_keys.use(tx, key.key_hash, NOW) == api_keys.ServiceHolder("fusion")
        assert await tx.scalar("SELECT request_count FROM api_keys") == 2


async def test_who_is_deleted_takes_everything_along(database: Database) -> None:
    person = somebody()
    await add_people(database, person)
    async with database.transaction() as tx:
        await logins.add_session(tx, uuid4(), person.user_id, NOW, NOW)
        await tx.execute("DELETE FROM users")
        for table in METADATA.sorted_tables:
            if "user_id" in table.c and table.name != "parked_events":
                assert await tx.scalar(f"SELECT count(*) FROM {table.name}") == 0  # noqa: S608


async def test_the_migration_makes_the_tables_and_takes_them_back(fresh_dsn: str) -> None:
    def there_and_back() -> None:
        assert differences(fresh_dsn, ["identity"]) == []
        downgrade_all(fresh_dsn, ["identity"])
        migrate_all(fresh_dsn, ["identity"])
        assert differences(fresh_dsn, ["identity"]) == []

    await asyncio.to_thread(there_and_back)
