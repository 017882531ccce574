"""Modalities that fell silent in a running session, and what devices say of those that run."""

from sqlalchemy import CheckConstraint, Column, DateTime, Index, SmallInteger, String, Table, text

from services.ingest.tables.base import METADATA, moment
from services.ingest.tables.sessions import of_session

# At most one of a modality lasts.
MODALITY_SILENCES = Table(
    "modality_silences",
    METADATA,
    *of_session(),
    Column("modality", SmallInteger, primary_key=True),
    Column("since_time", DateTime(timezone=True), primary_key=True),
    Column("cause", String(16), nullable=False),
    moment("receive_time"),
    moment("resume_time", nullable=True),
    moment("resume_receive_time", nullable=True),
    CheckConstraint("cause IN ('NO_SIGN', 'OFF', 'FAILED')", name="valid_cause"),
    Index(
        "idx_modality_silences_lasting",
        "session_id",
        "modality",
        unique=True,
        postgresql_where=text("resume_receive_time IS NULL"),
    ),
)

# When a device last said that a modality runs; written only while the modality predicts nothing.
MODALITY_HEARTBEATS = Table(
    "modality_heartbeats",
    METADATA,
    *of_session(),
    Column("modality", SmallInteger, primary_key=True),
    moment("running_time"),
)
