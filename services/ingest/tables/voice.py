"""Voice sessions: seed 002. Kept until their patterns are extracted and delete_after has passed.

Not partitioned, unlike the seed's example: rows go one by one, when they are extracted, which need not be in the order
of their months, so a month could never be dropped whole. idx_voice_sessions_extracted finds what may go.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.ingest.tables.base import METADATA, digest, moment, person
from services.ingest.vocabulary import EMOTIONS

VOICE_SESSIONS = Table(
    "voice_sessions",
    METADATA,
    Column("session_id", Uuid, primary_key=True),
    person(),
    moment("session_start", now=True),
    moment("session_end", nullable=True),
    Column("duration_seconds", Integer),
    Column("voice_emotion", String(50)),
    Column("emotion_confidence", Double),
    Column("voice_features", JSONB(none_as_null=True)),
    Column("transcript_encrypted", LargeBinary),
    Column("transcript_state", String(16), nullable=False),
    Column("transcript_language", String(10)),
    Column("processed", Boolean, server_default=text("false")),
    Column("patterns_extracted", Boolean, server_default=text("false")),
    # Ingest says it by its setting; the default is for rows that say nothing.
    Column("delete_after", DateTime(timezone=True), server_default=text("now() + INTERVAL '7 days'")),
    Column("model_version", String(64), nullable=False),
    moment("receive_time"),
    digest(),
    CheckConstraint(f"voice_emotion IN {EMOTIONS[1:]}", name="valid_emotion"),
    CheckConstraint("transcript_state IN ('sealed', 'not_kept', 'no_key')", name="valid_state"),
    Index("idx_voice_sessions_user_id", "user_id", text("session_start DESC")),
    Index("idx_voice_sessions_waiting", "delete_after", postgresql_where=text("NOT processed")),
    Index("idx_voice_sessions_processed", "processed", "patterns_extracted"),
    Index("idx_voice_sessions_extracted", "delete_after", postgresql_where=text("patterns_extracted = true")),
)
