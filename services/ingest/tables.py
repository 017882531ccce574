"""The tables of ingest's slice: seed 000, with what the wire adds. Predictions are partitioned by session_id."""

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.common.db import audit
from libs.common.feed import tables as feed_tables
from libs.common.people import tables as people_tables
from services.ingest.vocabulary import FEATURES

SCHEMA = "ingest"
METADATA = MetaData(schema=SCHEMA)
people_tables.add_to(METADATA)
audit.add_to(METADATA)
feed_tables.add_to(METADATA)


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _score(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Numeric(5, 4), nullable=nullable)


SESSIONS = Table(
    "sessions",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE"), nullable=False),
    Column("status", String(16), nullable=False),
    _moment("started_at"),
    _moment("ended_at", nullable=True),
    _moment("created_at", now=True),
    _moment("updated_at", now=True),
    _moment("receive_time"),
    _moment("end_receive_time", nullable=True),
    CheckConstraint("status IN ('ACTIVE', 'ENDED')", name="valid_status"),
    Index("idx_sessions_user_id", "user_id", "started_at", "id"),
)


def _predictions(name: str, *columns: Column[object]) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", Uuid, nullable=False),
        Column("session_id", Uuid, ForeignKey(f"{SCHEMA}.sessions.id", ondelete="CASCADE"), nullable=False),
        # The session's foreign key cascades from the person; one of its own would double the cost of a row.
        Column("user_id", Uuid, nullable=False),
        Column("chunk_id", Uuid, nullable=False),
        _moment("capture_start_time"),
        _moment("capture_end_time"),
        _moment("receive_time"),
        _moment("created_at", now=True),
        Column("batch_number", BigInteger, nullable=False),
        Column("batch_index", SmallInteger, nullable=False),
        Column("content_digest", LargeBinary, nullable=False),
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
    _score("confidence"),
    _score("distress_score"),
    Column("frames_processed", Integer, nullable=False),
    *_distribution(),
)

AUDIO_PREDICTIONS = _predictions(
    "audio_predictions",
    Column("emotion", String(32), nullable=False),
    _score("stress_score"),
    _score("confidence"),
    *_distribution(),
    *(Column(feature, REAL) for feature in FEATURES),
)

TEXT_PREDICTIONS = _predictions(
    "text_predictions",
    Column("transcript", LargeBinary, nullable=False),
    Column("transcript_state", String(16), nullable=False),
    Column("risk_level", String(16), nullable=False),
    _score("distress_probability"),
    _score("confidence"),
    _score("valence", nullable=True),
    Column("cues", JSONB),
)
