"""Clocks of senders, by the primary key (user_id, sender_id)."""

from collections.abc import Mapping
from uuid import UUID

from libs.common.db.database import Transaction
from quietus_edge.ids import EPOCH
from services.ingest.clock_skew import ClockEstimate
from services.ingest.sessions import SessionKey

# user_id, sender_id
ClockKey = tuple[UUID, UUID]

_KEEP = """
INSERT INTO sender_clocks (user_id, sender_id, skew_microseconds, uncertainty_microseconds, samples, estimate_time)
SELECT user_id, $2::uuid, $3::bigint, $4::bigint, $5::smallint, $6::timestamptz FROM users WHERE user_id = $1
ON CONFLICT (user_id, sender_id) DO UPDATE SET skew_microseconds = excluded.skew_microseconds,
    uncertainty_microseconds = excluded.uncertainty_microseconds, samples = excluded.samples,
    estimate_time = excluded.estimate_time
"""
_OF_SENDERS = """
SELECT c.* FROM session_senders s JOIN sender_clocks c USING (user_id, sender_id) WHERE s.session_id = $1
"""


async def keep(tx: Transaction, estimates: Mapping[ClockKey, ClockEstimate]) -> None:
    """In one order, lest two processes wait for each other. People who are gone by now are left out."""
    await tx.driver.executemany(
        _KEEP,
        [
            (
                *key,
                estimate.skew_microseconds,
                estimate.uncertainty_microseconds,
                estimate.samples,
                EPOCH + estimate.estimate_time * EPOCH.resolution,
            )
            for key, estimate in sorted(estimates.items(), key=lambda item: item[0])
        ],
    )


async def of_senders(tx: Transaction, session: SessionKey) -> Mapping[UUID, ClockEstimate]:
    """Of a session's senders that told their clock."""
    rows = await tx.driver.fetch(_OF_SENDERS, session.session_id)
    return {
        row["sender_id"]: ClockEstimate(
            row["skew_microseconds"],
            row["uncertainty_microseconds"],
            row["samples"],
            (row["estimate_time"] - EPOCH) // EPOCH.resolution,
        )
        for row in rows
    }
