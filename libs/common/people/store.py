"""All SQL on the people of a slice. Every look-up is by a primary key or by the unique anonymous_id."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from libs.common.db.database import Transaction


@dataclass(frozen=True, slots=True)
class Person:
    """`user_id` is the key in tables and feeds; `anonymous_id` is all that anybody sees."""

    user_id: UUID
    anonymous_id: str


async def ensure_user(tx: "Transaction", user_id: UUID, anonymous_id: str) -> None:
    """Whoever first sees a person makes the row."""
    await ensure_users(tx, {user_id: anonymous_id})


async def ensure_users(tx: "Transaction", people: Mapping[UUID, str]) -> None:
    """anonymous_id by user_id. In one order, because several followers make people at the same time.

    Neither key is named as the one that may conflict: two who make the same person at once may meet at either. That an
    anonymous_id is one person's alone is identity's to keep.
    """
    await tx.driver.execute(
        "INSERT INTO users (user_id, anonymous_id) SELECT * FROM unnest($1::uuid[], $2::text[]) AS new (id, name)"
        " ORDER BY id ON CONFLICT DO NOTHING",
        list(people),
        list(people.values()),
    )


async def set_timezone(tx: "Transaction", user_id: UUID, timezone: str) -> None:
    await tx.execute(
        "UPDATE users SET timezone = :timezone WHERE user_id = :user_id", {"user_id": user_id, "timezone": timezone}
    )


async def assign_care(tx: "Transaction", counselor_id: UUID, user_id: UUID, assign_time: datetime) -> None:
    await tx.execute(
        "INSERT INTO care_assignments (counselor_id, user_id, assign_time)"
        " VALUES (:counselor_id, :user_id, :assign_time) ON CONFLICT (counselor_id, user_id) DO NOTHING",
        {"counselor_id": counselor_id, "user_id": user_id, "assign_time": assign_time},
    )


async def end_care(tx: "Transaction", counselor_id: UUID, user_id: UUID) -> None:
    await tx.execute(
        "DELETE FROM care_assignments WHERE counselor_id = :counselor_id AND user_id = :user_id",
        {"counselor_id": counselor_id, "user_id": user_id},
    )


async def person_in_care(tx: "Transaction", counselor_id: UUID, anonymous_id: str) -> Person | None:
    return next(iter(await people_in_care(tx, counselor_id, [anonymous_id])), None)


async def people_in_care(tx: "Transaction", counselor_id: UUID, anonymous_ids: Collection[str]) -> list[Person]:
    """Those of them who are."""
    rows = await tx.fetch_all(
        "SELECT user_id, anonymous_id FROM users JOIN care_assignments USING (user_id)"
        " WHERE anonymous_id = ANY(:anonymous_ids) AND counselor_id = :counselor_id",
        {"counselor_id": counselor_id, "anonymous_ids": list(anonymous_ids)},
    )
    return [Person(row.user_id, row.anonymous_id) for row in rows]


async def is_in_care(tx: "Transaction", counselor_id: UUID, user_id: UUID) -> bool:
    found = await tx.scalar(
        "SELECT true FROM care_assignments WHERE counselor_id = :counselor_id AND user_id = :user_id",
        {"counselor_id": counselor_id, "user_id": user_id},
    )
    return found is not None


async def carers_of(tx: "Transaction", user_id: UUID) -> frozenset[UUID]:
    """The counselors in whose care somebody is (idx_care_assignments_user_id)."""
    rows = await tx.fetch_all("SELECT counselor_id FROM care_assignments WHERE user_id = :id", {"id": user_id})
    return frozenset(row.counselor_id for row in rows)
