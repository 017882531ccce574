"""Results of many sessions in one order, for what looks at all of them: by idx_fusion_results_capture."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.common.db.database import Transaction
from services.fusion.store.results import Place
from services.fusion.vocabulary import Level

# The first condition picks the months, which a comparison of rows doesn't.
PAGE = """
SELECT session_id, capture_end_time, chunk_id, user_id, final_risk, exact_score, session_score FROM fusion_results
WHERE session_id >= $1 AND session_id <= $4 AND (session_id, capture_end_time, chunk_id) > ($1, $2, $3)
ORDER BY session_id, capture_end_time, chunk_id LIMIT $5
"""


@dataclass(frozen=True, slots=True)
class StoredLevel:
    """What of a result is compared."""

    place: Place
    user_id: UUID
    level: Level
    score: float
    session_score: float

    @property
    def session_id(self) -> UUID:
        return self.place[0]

    @property
    def chunk_id(self) -> UUID:
        return self.place[2]


async def read_page(tx: Transaction, after: Place, last_session_id: UUID, limit: int) -> Sequence[StoredLevel]:
    """In the order of session ids, and within a session in that of capture."""
    rows = await tx.driver.fetch(PAGE, *after, last_session_id, limit)
    return [
        StoredLevel(
            place=(row["session_id"], row["capture_end_time"], row["chunk_id"]),
            user_id=row["user_id"],
            level=Level[row["final_risk"].upper()],
            score=row["exact_score"],
            session_score=row["session_score"],
        )
        for row in rows
    ]


async def read_person(tx: Transaction, anonymous_id: str) -> UUID | None:
    user_id: UUID | None = await tx.driver.fetchval("SELECT user_id FROM users WHERE anonymous_id = $1", anonymous_id)
    return user_id
