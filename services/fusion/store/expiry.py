"""What goes with the sessions that are past retention; their results stay."""

from collections.abc import Sequence
from uuid import UUID

from libs.common.db.database import Transaction
from services.fusion.store import inputs, outcomes


async def expire(tx: Transaction, before: UUID) -> Sequence[UUID]:
    """Deletes what some sessions left whose id is less, and returns the sessions; none when nothing is left."""
    return await inputs.expire(tx, before) or await outcomes.expire(tx, before)
