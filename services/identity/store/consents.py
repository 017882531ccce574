"""Consents to research: by idx_research_consents_user_id, the one that stands by idx_research_consents_standing."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import func, insert, select, update

from libs.common.db.database import Transaction
from services.identity.consents import NEVER_SAID, ResearchConsent
from services.identity.tables import RESEARCH_CONSENTS, USERS


async def lock(tx: Transaction, user_id: UUID) -> None:
    """So that what a person says is taken one after the other."""
    await tx.execute(select(USERS.c.user_id).where(USERS.c.user_id == user_id).with_for_update(key_share=True))


async def of_person(tx: Transaction, user_id: UUID) -> ResearchConsent:
    last = func.greatest(RESEARCH_CONSENTS.c.granted_at, RESEARCH_CONSENTS.c.withdrawn_at).label("changed_at")
    statement = (
        select(RESEARCH_CONSENTS.c.withdrawn_at.is_(None).label("granted"), last)
        .where(RESEARCH_CONSENTS.c.user_id == user_id)
        .order_by(last.desc())
        .limit(1)
    )
    row = await tx.fetch_one(statement)
    return NEVER_SAID if row is None else ResearchConsent(row.granted, row.changed_at)


async def grant(tx: Transaction, consent_id: UUID, user_id: UUID, at: datetime) -> None:
    await tx.execute(insert(RESEARCH_CONSENTS).values(id=consent_id, user_id=user_id, granted_at=at))
    await _note(tx, user_id, True, at)


async def withdraw(tx: Transaction, user_id: UUID, at: datetime) -> None:
    standing = RESEARCH_CONSENTS.c.withdrawn_at.is_(None)
    await tx.execute(
        update(RESEARCH_CONSENTS).where(RESEARCH_CONSENTS.c.user_id == user_id, standing).values(withdrawn_at=at)
    )
    await _note(tx, user_id, False, at)


async def _note(tx: Transaction, user_id: UUID, granted: bool, at: datetime) -> None:
    """Where the seed has it."""
    await tx.execute(update(USERS).where(USERS.c.user_id == user_id).values(consent_research=granted, updated_at=at))
