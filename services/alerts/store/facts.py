"""What fusion and patterns said. idx_risk_facts_since serves a person's facts since a moment."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from libs.common.db.database import Transaction
from services.alerts.risk import Fact, Level, Source
from services.alerts.tables import METADATA, RISK_FACTS

USERS = METADATA.tables["alerts.users"]
# Of a case: enough to judge it, and a bound on its row and its event.
MOST_SESSIONS = 100

PersonsSession = tuple[UUID, UUID]  # user_id, session_id

_ALARMED = """
SELECT user_id, session_id FROM unnest($1::uuid[], $2::uuid[]) AS wanted (user_id, session_id)
WHERE EXISTS (
    SELECT FROM risk_facts f
    WHERE f.user_id = wanted.user_id AND f.session_id = wanted.session_id AND f.risk_level >= $3
)
"""


async def lock_person(tx: Transaction, user_id: UUID) -> None:
    """Until the transaction ends, nobody else derives or changes this person's alerts."""
    await tx.execute(select(USERS.c.user_id).where(USERS.c.user_id == user_id).with_for_update(key_share=True))


async def add(tx: Transaction, user_id: UUID, facts: Sequence[Fact]) -> None:
    """Keeps facts once; the same fact again is the same."""
    rows = [
        {
            "user_id": user_id,
            "source": fact.source,
            "session_id": fact.session_id,
            "chunk_id": fact.chunk_id,
            "revision": fact.revision,
            "risk_level": fact.level,
            "risk_score": fact.score,
            "risk_factors": list(fact.factors),
            "capture_time": fact.capture_time,
            "receive_time": fact.receive_time,
        }
        for fact in facts
    ]
    await tx.execute(upsert(RISK_FACTS).on_conflict_do_nothing(), rows)


async def since(tx: Transaction, user_id: UUID, moment: datetime | None) -> list[Fact]:
    """The person's facts received after a moment; all of them when there is none."""
    statement = select(RISK_FACTS).where(RISK_FACTS.c.user_id == user_id)
    if moment is not None:
        statement = statement.where(RISK_FACTS.c.receive_time > moment)
    return [
        Fact(
            Source(row.source),
            row.session_id,
            row.chunk_id,
            row.revision,
            Level(row.risk_level),
            row.risk_score,
            tuple(row.risk_factors),
            row.capture_time,
            row.receive_time,
        )
        for row in await tx.fetch_all(statement)
    ]


async def alarmed(tx: Transaction, sessions: Collection[PersonsSession]) -> set[PersonsSession]:
    """Those of which an alarming fact is kept: only there a lower revision is worth a fact. The primary key begins with
    their people.
    """
    rows = await tx.driver.fetch(_ALARMED, *zip(*sessions, strict=True), Level.HIGH)
    return {(row["user_id"], row["session_id"]) for row in rows}


async def alarming(tx: Transaction, user_id: UUID, moment: datetime | None) -> dict[Source, list[UUID]]:
    """Sessions with alarming facts received after a moment, by who alarmed, in the order in which they first did; at
    most MOST_SESSIONS of each.
    """
    first = func.min(RISK_FACTS.c.receive_time)
    found: dict[Source, list[UUID]] = {}
    for source in Source:
        statement = (
            select(RISK_FACTS.c.session_id)
            .where(
                RISK_FACTS.c.user_id == user_id, RISK_FACTS.c.source == source, RISK_FACTS.c.risk_level >= Level.HIGH
            )
            .group_by(RISK_FACTS.c.session_id)
            .order_by(first, RISK_FACTS.c.session_id)
            .limit(MOST_SESSIONS)
        )
        if moment is not None:
            statement = statement.where(RISK_FACTS.c.receive_time > moment)
        found[source] = [row.session_id for row in await tx.fetch_all(statement)]
    return found
