"""People: found by id (primary key), anonymous id and e-mail hash (unique), listed by idx_users_created_at."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, literal, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import AnyRow, Transaction
from services.identity.people import AccountStatus, Person, Role
from services.identity.tables import ROLES, USER_ROLES, USERS

PEOPLE = USERS.join(USER_ROLES, USER_ROLES.c.user_id == USERS.c.user_id).join(ROLES, ROLES.c.id == USER_ROLES.c.role_id)
PERSON_COLUMNS = (
    USERS.c.user_id,
    USERS.c.anonymous_id,
    ROLES.c.name.label("role"),
    USERS.c.account_status,
    USERS.c.is_active,
    USERS.c.timezone,
    USERS.c.created_at,
)
_SELECT = select(*PERSON_COLUMNS).select_from(PEOPLE)


@dataclass(frozen=True)
class Credentials:
    """What a person gives to be known again. `email` and `full_name` are sealed, `email_hash` is a blind index."""

    email: bytes = field(repr=False)
    email_hash: str = field(repr=False)
    password_hash: str = field(repr=False)
    full_name: bytes = field(repr=False)


@dataclass(frozen=True)
class Account:
    person: Person
    password_hash: str = field(repr=False)


async def create(tx: Transaction, person: Person, credentials: Credentials) -> bool:
    """False when someone has this e-mail address; nothing is written then."""
    created = await tx.fetch_one(
        upsert(USERS)
        .values(
            user_id=person.user_id,
            anonymous_id=person.anonymous_id,
            email=credentials.email,
            email_hash=credentials.email_hash,
            password_hash=credentials.password_hash,
            full_name=credentials.full_name,
            is_active=person.is_active,
            account_status=person.status,
            timezone=person.timezone,
            created_at=person.create_time,
            updated_at=person.create_time,
            last_active=person.create_time,
        )
        .on_conflict_do_nothing(index_elements=[USERS.c.email_hash])
        .returning(USERS.c.user_id)
    )
    if created is None:
        return False
    role = select(literal(person.user_id), ROLES.c.id).where(ROLES.c.name == person.role)
    await tx.execute(insert(USER_ROLES).from_select(["user_id", "role_id"], role))
    return True


async def by_id(tx: Transaction, user_id: UUID) -> Person | None:
    return _one(await tx.fetch_one(_SELECT.where(USERS.c.user_id == user_id)))


async def by_anonymous_id(tx: Transaction, anonymous_id: str) -> Person | None:
    return _one(await tx.fetch_one(_SELECT.where(USERS.c.anonymous_id == anonymous_id)))


async def account_by_id(tx: Transaction, user_id: UUID) -> Account | None:
    return _account(await tx.fetch_one(_SELECT.add_columns(USERS.c.password_hash).where(USERS.c.user_id == user_id)))


async def account_by_email_hash(tx: Transaction, email_hash: str) -> Account | None:
    statement = _SELECT.add_columns(USERS.c.password_hash).where(USERS.c.email_hash == email_hash)
    return _account(await tx.fetch_one(statement))


async def page(tx: Transaction, after: tuple[datetime, UUID] | None, limit: int) -> Sequence[Person]:
    """Oldest first; `after` is the create_time and user_id of the last person of the page before."""
    statement = _SELECT.order_by(USERS.c.created_at, USERS.c.user_id).limit(limit)
    if after is not None:
        statement = statement.where(tuple_(USERS.c.created_at, USERS.c.user_id) > after)
    return [person_of(row) for row in await tx.fetch_all(statement)]


async def record_activity(tx: Transaction, user_id: UUID, now: datetime) -> None:
    await tx.execute(update(USERS).where(USERS.c.user_id == user_id).values(last_active=now))


def person_of(row: AnyRow) -> Person:
    return Person(
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        role=Role(row.role),
        status=AccountStatus(row.account_status),
        is_active=row.is_active,
        timezone=row.timezone,
        create_time=row.created_at,
    )


def _one(row: AnyRow | None) -> Person | None:
    return None if row is None else person_of(row)


def _account(row: AnyRow | None) -> Account | None:
    return None if row is None else Account(person_of(row), row.password_hash)
