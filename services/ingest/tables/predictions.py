"""Predictions: seed 000, with what the wire adds. Partitioned by session_id."""

from sqlalchemy import (
    REAL,
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from services.ingest.tables.base import METADATA, SCHEMA, digest, moment, score
from services.ingest.vocabulary import FEATURES


def _predictions(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", Uuid, nullable=False),
        Column("session_id", Uuid, ForeignKey(f"{SCHEMA}.sessions.id", ondelete="CASCADE"), nullable=False),
        # The session's foreign key cascades from the person; one of its own would double the cost of a row.
        Column("user_id", Uuid, nullable=False),
        Column("chunk_id", Uuid, nullable=False),
        moment("capture_start_time"),
        moment("capture_end_time"),
        moment("receive_time"),
        moment("created_at", now=True),
        Column("batch_number", BigInteger, nullable=False),
        Column("batch_index", SmallInteger, nullable=False),
        digest(),
        *columns,
        Column("model_version", String(64), nullable=False),
        PrimaryKeyConstraint("session_id", "id"),
        UniqueConstraint("session_id", "chunk_id"),
        postgresql_partition_by="RANGE (session_id)",
    )


def _distribution() -> tuple[Column[object], Column[object]]:
    return Column("distribution_labels", ARRAY(SmallInteger)), Column("distribution_probabilities", ARRAY(REAL))


VISION_PREDICTIONS = _predictions(
    "vision_predictions",
    Column("emotion", String(32), nullable=False),
    score("confidence"),
    score("distress_score"),
    Column("frames_processed", Integer, nullable=False),
    *_distribution(),
)

AUDIO_PREDICTIONS = _predictions(
    "audio_predictions",
    Column("emotion", String(32), nullable=False),
    score("stress_score"),
    score("confidence"),
    *_distribution(),
    *(Column(feature, REAL) for feature in FEATURES),
)

TEXT_PREDICTIONS = _predictions(
    "text_predictions",
    Column("transcript", LargeBinary, nullable=False),
    Column("transcript_state", String(16), nullable=False),
    Column("risk_level", String(16), nullable=False),
    score("distress_probability"),
    score("confidence"),
    score("valence", nullable=True),
    Column("cues", JSONB),
)
