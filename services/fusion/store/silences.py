"""modality_silences, by the primary key (session_id, modality, since_time)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from libs.common.db.database import Transaction
from services.fusion.silence import Silence, SilenceReason
from services.fusion.vocabulary import Modality


async def begin(tx: Transaction, session_id: UUID, user_id: UUID, silence: Silence) -> None:
    await tx.driver.execute(
        "INSERT INTO modality_silences (session_id, modality, since_time, user_id, reason) VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT DO NOTHING",
        session_id,
        silence.modality,
        silence.since_time,
        user_id,
        silence.reason,
    )


async def end(
    tx: Transaction, session_id: UUID, modality: Modality, since_time: datetime, resume_time: datetime
) -> None:
    await tx.driver.execute(
        "UPDATE modality_silences SET resume_time = $4 WHERE session_id = $1 AND modality = $2 AND since_time = $3",
        session_id,
        modality,
        since_time,
        resume_time,
    )


async def read(tx: Transaction, session_id: UUID) -> Sequence[Silence]:
    """In the order of their beginnings."""
    rows = await tx.driver.fetch(
        "SELECT modality, since_time, reason, resume_time FROM modality_silences WHERE session_id = $1"
        " ORDER BY since_time, modality",
        session_id,
    )
    return [
        Silence(Modality(row["modality"]), row["since_time"], SilenceReason(row["reason"]), row["resume_time"])
        for row in rows
    ]
