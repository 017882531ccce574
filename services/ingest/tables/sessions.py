"""Sessions: seed 000, with what the wire adds."""

from sqlalchemy import CheckConstraint, Column, Index, String, Table, Uuid

from services.ingest.tables.base import METADATA, moment, person

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    person(),
    Column("status", String(16), nullable=False),
    moment("started_at"),
    moment("ended_at", nullable=True),
    moment("created_at", now=True),
    moment("updated_at", now=True),
    moment("receive_time"),
    moment("end_receive_time", nullable=True),
    CheckConstraint("status IN ('ACTIVE', 'ENDED')", name="valid_status"),
    Index("idx_sessions_user_id", "user_id", "started_at", "id"),
)
