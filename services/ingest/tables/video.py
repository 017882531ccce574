"""Video sessions and what was seen in them: seed 001."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from services.ingest.tables.base import METADATA, SCHEMA, digest, moment, person, score

VIDEO_SESSIONS = Table(
    "video_sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    person(),
    Column("stream_session_id", String(128), nullable=False, unique=True),
    Column("session_type", String(32), nullable=False),
    Column("client_platform", String(32), nullable=False),
    Column("status", String(16), nullable=False),
    moment("started_at"),
    moment("ended_at", nullable=True),
    moment("created_at", now=True),
    CheckConstraint("session_type IN ('monitoring', 'check_in', 'counseling')", name="valid_type"),
    CheckConstraint("client_platform IN ('android', 'ios', 'web', 'desktop', 'kiosk')", name="valid_platform"),
    CheckConstraint("status IN ('ACTIVE', 'ENDED', 'FAILED')", name="valid_status"),
    Index("idx_video_sessions_user_id", "user_id", text("started_at DESC")),
    Index("idx_video_sessions_status", "status", "started_at"),
)

VIDEO_ANALYSIS_EVENTS = Table(
    "video_analysis_events",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("session_id", Uuid, ForeignKey(f"{SCHEMA}.video_sessions.id", ondelete="CASCADE"), nullable=False),
    person(),
    moment("event_at"),
    Column("risk_level", String(16), nullable=False),
    score("confidence"),
    Column("signals", JSONB, nullable=False),
    Column("model_version", String(64), nullable=False),
    Column("latency_ms", Integer, nullable=False),
    moment("created_at", now=True),
    digest(),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="valid_confidence"),
    CheckConstraint("latency_ms >= 0", name="valid_latency"),
    CheckConstraint("risk_level IN ('low', 'medium', 'high', 'critical')", name="valid_risk"),
    Index("idx_video_analysis_events_session_id", "session_id", text("event_at DESC")),
    Index("idx_video_analysis_events_risk_level", "risk_level", "event_at"),
    Index("idx_video_analysis_events_event_at", "event_at"),
    # For a person's own list, and so that erasing a person doesn't read the whole table.
    Index("idx_video_analysis_events_user_id", "user_id", text("event_at DESC")),
)
