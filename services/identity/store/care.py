"""Who cares for whom. A row is one consent; idx_care_assignments_standing holds those that stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import Transaction
from services.identity.people import Person
from services.identity.store.users import PEOPLE, PERSON_COLUMNS, person_of
from services.identity.tables import CARE_ASSIGNMENTS, USERS

STANDING = CARE_ASSIGNMENTS.c.ended_at.is_(None)


@dataclass(frozen=True)
class Assignment:
    assignment_id: UUID
    create_time: datetime
    person: Person


async def assign(tx: Transaction, assignment_id: UUID, counselor_id: UUID, user_id: UUID, now: datetime) -> bool:
    """False when the person is in this counselor's care already."""
    statement = upsert(CARE_ASSIGNMENTS).values(
        id=assignment_id, counselor_id=counselor_id, user_id=user_id, created_at=now
    )
    once = statement.on_conflict_do_nothing(
        index_elements=[CARE_ASSIGNMENTS.c.counselor_id, CARE_ASSIGNMENTS.c.user_id], index_where=STANDING
    )
    return await tx.fetch_one(once.returning(CARE_ASSIGNMENTS.c.id)) is not None


async def end(tx: Transaction, counselor_id: UUID, user_id: UUID, now: datetime) -> datetime | None:
    """When it ended; None when the person is not in this counselor's care."""
    # A clock that was set back must not end care before it began: the feed's history is in order of these times.
    ended_at = func.greatest(CARE_ASSIGNMENTS.c.created_at, now)
    statement = update(CARE_ASSIGNMENTS).where(_of(counselor_id, user_id), STANDING).values(ended_at=ended_at)
    end_time: datetime | None = await tx.scalar(statement.returning(CARE_ASSIGNMENTS.c.ended_at))
    return end_time


async def stands(tx: Transaction, counselor_id: UUID, user_id: UUID) -> bool:
    statement = select(CARE_ASSIGNMENTS.c.id).where(_of(counselor_id, user_id), STANDING)
    return await tx.fetch_one(statement) is not None


async def page(
    tx: Transaction, counselor_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Assignment]:
    """Oldest assignment first; `after` is the create_time and assignment_id of the last one of the page before."""
    statement = (
        select(CARE_ASSIGNMENTS.c.id, CARE_ASSIGNMENTS.c.created_at.label("assigned_at"), *PERSON_COLUMNS)
        .join_from(CARE_ASSIGNMENTS, PEOPLE, USERS.c.user_id == CARE_ASSIGNMENTS.c.user_id)
        .where(CARE_ASSIGNMENTS.c.counselor_id == counselor_id, STANDING)
        .order_by(CARE_ASSIGNMENTS.c.created_at, CARE_ASSIGNMENTS.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(CARE_ASSIGNMENTS.c.created_at, CARE_ASSIGNMENTS.c.id) > after)
    return [Assignment(row.id, row.assigned_at, person_of(row)) for row in await tx.fetch_all(statement)]


def _of(counselor_id: UUID, user_id: UUID) -> ColumnElement[bool]:
    return and_(CARE_ASSIGNMENTS.c.counselor_id == counselor_id, CARE_ASSIGNMENTS.c.user_id == user_id)
