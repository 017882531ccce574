"""What the feeds told: tables that a derivation reads and never changes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB, REAL

from services.patterns.facts import CUE_MEASURES, VOICE_MEASURES
from services.patterns.tables.base import METADATA, moment, number, person, words

BY_SESSION = "RANGE (session_id)"

# How many client batches of a session ingest has told, and which was the newest when it told the end.
SESSION_INPUTS = Table(
    "session_inputs",
    METADATA,
    Column("session_id", Uuid, primary_key=True),
    person(),
    Column("batches", Integer, nullable=False),
    Column("end_ordinal", Integer),
    moment("told_receive_time"),
)

# A batch's place among those of its session in ingest's feed: the gate that fusion's results wait at.
INGESTED_BATCHES = Table(
    "ingested_batches",
    METADATA,
    Column("session_id", Uuid, nullable=False),
    Column("batch_number", BigInteger, nullable=False),
    Column("ordinal", Integer, nullable=False),
    person(),
    PrimaryKeyConstraint("session_id", "batch_number"),
    postgresql_partition_by=BY_SESSION,
)

CHUNK_FEATURES = Table(
    "chunk_features",
    METADATA,
    Column("session_id", Uuid, nullable=False),
    Column("chunk_id", Uuid, nullable=False),
    Column("ordinal", Integer, nullable=False),
    person(),
    *(Column(name, REAL) for name in VOICE_MEASURES),
    number("valence", nullable=True),
    *(Column(name, REAL) for name in CUE_MEASURES),
    Column("language", String(20)),
    Column("code_switching", Boolean),
    words("deflections"),
    words("topics"),
    words("coping"),
    PrimaryKeyConstraint("session_id", "chunk_id", "ordinal"),
    postgresql_partition_by=BY_SESSION,
)

CHUNK_RESULTS = Table(
    "chunk_results",
    METADATA,
    Column("session_id", Uuid, nullable=False),
    Column("chunk_id", Uuid, nullable=False),
    person(),
    Column("revision", Integer, nullable=False),
    moment("capture_end_time", nullable=False),
    Column("level", String(16), nullable=False),
    number("score"),
    number("session_score"),
    Column("critical_cue", Boolean, nullable=False),
    Column("dissonance", String(16), nullable=False),
    number("dissonance_score"),
    Column("emotions", JSONB, nullable=False),
    PrimaryKeyConstraint("session_id", "chunk_id"),
    postgresql_partition_by=BY_SESSION,
)

# Events of fusion whose facts ingest's feed has not brought yet, and all later ones of the same person.
WAITING_FUSED = Table(
    "waiting_fused",
    METADATA,
    Column("sequence", BigInteger, Identity(always=True), primary_key=True),
    person(),
    Column("event", LargeBinary, nullable=False),
    Index("idx_waiting_fused_user_id", "user_id", "sequence"),
)
