"""Analyses of single texts: seed 001. A row's id is its request_id, so that a device can seal for the row before it is
there."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, String, Table, Uuid, text

from services.ingest.tables.base import METADATA, digest, moment, person, score

ANALYSIS_RECORDS = Table(
    "analysis_records",
    METADATA,
    Column("id", Uuid, primary_key=True),
    person(),
    Column("input_text", LargeBinary, nullable=False),
    Column("input_text_state", String(16), nullable=False),
    Column("source", String(32), nullable=False),
    Column("predicted_label", String(16), nullable=False),
    score("confidence"),
    Column("model_version", String(64), nullable=False),
    Column("ai_processing_ms", Integer, nullable=False),
    moment("submitted_at"),
    moment("analyzed_at"),
    Column("request_id", Uuid, nullable=False, unique=True),
    moment("receive_time"),
    digest(),
    CheckConstraint("confidence >= 0 AND confidence <= 1", name="valid_confidence"),
    CheckConstraint("ai_processing_ms >= 0", name="valid_processing_time"),
    CheckConstraint("input_text_state IN ('sealed', 'not_kept', 'no_key')", name="valid_state"),
    Index("idx_analysis_records_user_id", "user_id", text("analyzed_at DESC")),
    Index("idx_analysis_records_predicted_label", "predicted_label", "analyzed_at"),
    Index("idx_analysis_records_analyzed_at", "analyzed_at"),
)
