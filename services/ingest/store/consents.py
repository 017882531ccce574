"""Who consents to research: by user_id (primary key)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from libs.common.db.database import Transaction
from services.ingest.tables import RESEARCH_CONSENTS


async def put(tx: Transaction, user_id: UUID, granted: bool, change_time: datetime) -> None:
    """The newest stands: a feed that is told again must not give back what was withdrawn."""
    said = {"granted": granted, "change_time": change_time}
    statement = insert(RESEARCH_CONSENTS).values(user_id=user_id, **said)
    await tx.execute(
        statement.on_conflict_do_update(
            index_elements=[RESEARCH_CONSENTS.c.user_id],
            set_=said,
            where=RESEARCH_CONSENTS.c.change_time < change_time,
        )
    )
