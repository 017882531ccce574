"""People, locked: what two feeds tell of one person is decided one after the other."""

from collections.abc import Mapping
from uuid import UUID

from libs.common.db.database import Transaction
from libs.common.people.store import ensure_users

# In the order of user_id, so that two followers never wait for each other in a circle.
_LOCK = "SELECT user_id, anonymous_id FROM users WHERE user_id = ANY($1) ORDER BY user_id FOR NO KEY UPDATE"


async def lock_people(tx: Transaction, told: Mapping[UUID, str]) -> dict[UUID, str]:
    """Makes rows for people who are new, locks all of them until the end and returns their anonymous ids."""
    await ensure_users(tx, told)
    return {row["user_id"]: row["anonymous_id"] for row in await tx.driver.fetch(_LOCK, list(told))}
