"""Sessions: seed 000, with what the wire adds; who sends in them, and how the senders' clocks stand."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)

from services.ingest.tables.base import METADATA, SCHEMA, moment, person

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
    # That started it; unknown for a person's own token.
    Column("device_id", Uuid),
    # Unknown, which is by word, for sessions that ended before causes were kept.
    Column("end_cause", String(16)),
    CheckConstraint("status IN ('ACTIVE', 'ENDED')", name="valid_status"),
    CheckConstraint("end_cause IN ('BY_WORD', 'SILENCE', 'AGE')", name="valid_end_cause"),
    Index("idx_sessions_user_id", "user_id", "started_at", "id"),
    # For analytics of everybody, who find predictions by their sessions.
    Index("idx_sessions_started_at", "started_at"),
    Index("idx_sessions_active", "receive_time", "id", postgresql_where=text("status = 'ACTIVE'")),
)


def of_session() -> tuple[Column[object], Column[object]]:
    """First of the primary key. The session's foreign key cascades from the person."""
    key = ForeignKey(f"{SCHEMA}.sessions.id", ondelete="CASCADE")
    return Column("session_id", Uuid, key, primary_key=True), Column("user_id", Uuid, nullable=False)


# Whoever numbers batches of a session, in the order in which they first came.
SESSION_SENDERS = Table(
    "session_senders",
    METADATA,
    *of_session(),
    Column("sender_id", Uuid, primary_key=True),
    Column("device_id", Uuid),
    Column("ordinal", SmallInteger, nullable=False),
    moment("receive_time"),
    # To about a minute.
    moment("last_receive_time"),
    UniqueConstraint("session_id", "ordinal"),
)

SENDER_CLOCKS = Table(
    "sender_clocks",
    METADATA,
    person(primary_key=True),
    Column("sender_id", Uuid, primary_key=True),
    Column("skew_microseconds", BigInteger, nullable=False),
    Column("uncertainty_microseconds", BigInteger),
    Column("samples", SmallInteger, nullable=False),
    moment("estimate_time"),
)
