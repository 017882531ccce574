"""The tables of fusion's slice: seeds 000 and 004, the inputs and states that results are made from, and who is who.

Derived rows hold capture times; only `create_time` is this server's clock.
"""

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
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
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from libs.common.db import audit
from libs.common.feed import tables as feed_tables
from libs.common.people import tables as people_tables
from services.fusion.vocabulary import KNOWN_EMOTIONS, SHOWING_MODALITIES, Modality

SCHEMA = "fusion"
METADATA = MetaData(schema=SCHEMA)
PARTITIONED_TABLES = ("chunk_inputs", "fusion_results")

people_tables.add_to(METADATA)
feed_tables.add_to(METADATA)
audit.add_to(METADATA)


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def _number(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Double, nullable=nullable)


def _person() -> Column[object]:
    return Column("user_id", Uuid, ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE"), nullable=False)


def _session() -> tuple[Column[object], Column[object]]:
    """Deleting the person deletes the session's state and, through it, what hangs on the session."""
    key = ForeignKey(f"{SCHEMA}.session_states.session_id", ondelete="CASCADE")
    return Column("session_id", Uuid, key, nullable=False), Column("user_id", Uuid, nullable=False)


def _four_decimals(name: str) -> Column[object]:
    """The seed's rounded column; the number that was computed stands in its `exact_` column."""
    return Column(name, Numeric(5, 4), nullable=False)


def _state() -> tuple[Column[object], ...]:
    """A session's state after a chunk."""
    return (
        _number("state_logit"),
        _number("state_seconds"),
        _number("session_score"),
        Column("level_cause", String(32), nullable=False),
        _moment("critical_until", nullable=True),
        _moment("high_until", nullable=True),
        Column("leading_reason", String(32), nullable=False),
    )


MODEL_VERSIONS = Table(
    "model_versions",
    METADATA,
    Column("version", String(64), primary_key=True),
    Column("checksum", String(64), nullable=False),
    Column("document", JSONB, nullable=False),
    _moment("create_time", now=True),
)

# Which version makes results, from when on: what people decided, and follows from no feed.
MODEL_SWITCHES = Table(
    "model_switches",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", String(64), ForeignKey(f"{SCHEMA}.model_versions.version"), nullable=False),
    _moment("effect_time"),
    Column("actor", String(128), nullable=False),
    _moment("switch_time"),
    _moment("create_time", now=True),
)

# One row, locked by whoever fuses and whoever switches: when the newest of what is fused was received, and how many
# switches there are.
MODEL_HEAD = Table(
    "model_head",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    _moment("receive_time"),
    Column("switches", Integer, nullable=False),
    CheckConstraint("id = 1", name="one_head"),
)

SESSION_STATES = Table(
    "session_states",
    METADATA,
    Column("session_id", Uuid, primary_key=True),
    _person(),
    Column("chunks", BigInteger, nullable=False),
    # Of the newest chunk by capture.
    _moment("capture_end_time"),
    Column("chunk_id", Uuid, nullable=False),
    Column("level", String(16), nullable=False),
    *_state(),
    # The last chunks whose dissonance could be judged, oldest first, and how.
    Column("judged_chunk_ids", ARRAY(Uuid), nullable=False),
    Column("judged_directions", ARRAY(SmallInteger), nullable=False),
    _moment("create_time", now=True),
    Index("idx_session_states_user_id", "user_id"),
)

# What ingest told of sessions that ended.
SESSION_ENDS = Table(
    "session_ends",
    METADATA,
    Column("session_id", Uuid, primary_key=True),
    _person(),
    _moment("end_time"),
    _moment("receive_time"),
    _moment("create_time", now=True),
    Index("idx_session_ends_user_id", "user_id"),
)

# What ingest told of modalities that lacked for a while.
MODALITY_SILENCES = Table(
    "modality_silences",
    METADATA,
    Column("session_id", Uuid, primary_key=True),
    Column("modality", SmallInteger, primary_key=True),
    Column("since_time", DateTime(timezone=True), primary_key=True),
    _person(),
    Column("reason", String(16), nullable=False),
    _moment("resume_time", nullable=True),
    _moment("create_time", now=True),
    Index("idx_modality_silences_user_id", "user_id"),
)

# What alerts told of cases that a counselor closed. No result depends on them.
CASE_OUTCOMES = Table(
    "case_outcomes",
    METADATA,
    Column("alert_id", Uuid, primary_key=True),
    _person(),
    Column("reason", String(32), nullable=False),
    Column("noise_reason", String(32), nullable=False),
    Column("level", String(16), nullable=False),
    _number("score"),
    _moment("open_time"),
    _moment("close_time"),
    Column("session_id", Uuid, nullable=False),
    Column("chunk_id", Uuid, nullable=False),
    Column("session_ids", ARRAY(Uuid), nullable=False),
    Column("patterns_alarmed", Boolean, nullable=False),
    _moment("create_time", now=True),
    Index("idx_case_outcomes_user_id", "user_id"),
    Index("idx_case_outcomes_close_time", "close_time"),
    Index("idx_case_outcomes_session_id", "session_id"),
)


def _shown(modality: Modality) -> tuple[Column[object], ...]:
    return (
        Column(f"{modality.label}_emotion", SmallInteger),
        _number(f"{modality.label}_probability", nullable=True),
        _number(f"{modality.label}_confidence", nullable=True),
        Column(f"{modality.label}_distribution", ARRAY(REAL)),
        Column(f"{modality.label}_model_version", String(64)),
    )


# What ingest told of chunks, as far as fusion uses it: one row for all that a client batch brought of a chunk. Numbers
# of enums are the contract's; a modality that wasn't in the batch is NULL.
CHUNK_INPUTS = Table(
    "chunk_inputs",
    METADATA,
    *_session(),
    Column("chunk_id", Uuid, nullable=False),
    Column("batch_number", BigInteger, nullable=False),
    _moment("capture_start_time"),
    _moment("capture_end_time"),
    _moment("receive_time"),
    *_shown(Modality.VISION),
    *_shown(Modality.AUDIO),
    Column("text_level", SmallInteger),
    _number("text_probability", nullable=True),
    _number("text_confidence", nullable=True),
    _number("text_valence", nullable=True),
    Column("text_deflection", Boolean),
    Column("text_signals", ARRAY(SmallInteger)),
    Column("text_model_version", String(64)),
    _moment("create_time", now=True),
    PrimaryKeyConstraint("session_id", "chunk_id", "batch_number"),
    postgresql_partition_by="RANGE (session_id)",
)

FUSION_RESULTS = Table(
    "fusion_results",
    METADATA,
    Column("id", Uuid, nullable=False),
    *_session(),
    Column("chunk_id", Uuid, nullable=False),
    Column("final_risk", String(16), nullable=False),
    _four_decimals("final_score"),
    _four_decimals("confidence"),
    Column("modalities_used", JSONB, nullable=False),
    _moment("computed_at", now=True),
    _moment("capture_start_time"),
    _moment("capture_end_time"),
    Column("revision", Integer, nullable=False),
    Column("batch_number", BigInteger, nullable=False),
    Column("model_version", String(64), nullable=False),
    # And what its arithmetic ran on: see arithmetic.py.
    Column("numpy_version", String(32), nullable=False),
    _number("exact_score"),
    _number("exact_confidence"),
    _number("logit"),
    _number("prior_logit"),
    _number("evidence"),
    *(
        _number(f"{modality.label}_{part}", nullable=True)
        for modality in Modality
        for part in ("probability", "weight", "confidence", "logit")
    ),
    # Whether its emotions were read by a table of its edge model's version; null where the modality is absent.
    *(Column(f"{modality.label}_fitted", Boolean) for modality in SHOWING_MODALITIES),
    *(_number(f"emotion_{emotion.label}", nullable=True) for emotion in KNOWN_EMOTIONS),
    _number("said_valence", nullable=True),
    _number("shown_valence", nullable=True),
    Column("shown_emotion", String(32)),
    Column("dissonance_direction", String(16), nullable=False),
    _number("dissonance_score"),
    Column("level_floor", String(16)),
    Column("critical_cue", Boolean, nullable=False),
    *_state(),
    _moment("create_time", now=True),
    PrimaryKeyConstraint("session_id", "id"),
    UniqueConstraint("session_id", "chunk_id"),
    Index("idx_fusion_results_capture", "session_id", "capture_end_time", "chunk_id"),
    postgresql_partition_by="RANGE (session_id)",
)

LLM_EXPLANATIONS = Table(
    "llm_explanations",
    METADATA,
    Column("id", Uuid, primary_key=True),
    *_session(),
    Column("chunk_id", Uuid, nullable=False),
    Column("summary", Text, nullable=False),
    Column("key_signals", JSONB, nullable=False),
    Column("recommended_action_level", String(32), nullable=False),
    _four_decimals("explanation_confidence"),
    _moment("created_at", now=True),
    # What a language model may put into words; null where the template alone speaks.
    Column("facts", String(128)),
    _moment("create_time", now=True),
    UniqueConstraint("session_id", "chunk_id"),
    Index("idx_llm_explanations_facts", "facts", postgresql_where=text("facts IS NOT NULL")),
)

# What a language model said of sets of facts. Nothing here follows from the feed, and nothing here is of a person.
EXPLANATION_WORDINGS = Table(
    "explanation_wordings",
    METADATA,
    Column("facts", String(128), nullable=False),
    Column("language_model", String(128), nullable=False),
    Column("prompt_version", String(16), nullable=False),
    Column("text", Text),
    Column("attempts", SmallInteger, nullable=False),
    # Nobody else asks until then.
    _moment("ask_after"),
    Column("refusal", String(32)),
    _moment("word_time", nullable=True),
    _moment("create_time", now=True),
    PrimaryKeyConstraint("facts", "language_model", "prompt_version"),
)

DISSONANCE_RECORDS = Table(
    "dissonance_records",
    METADATA,
    Column("id", Uuid, primary_key=True),
    _person(),
    Column("session_id", Uuid, ForeignKey(f"{SCHEMA}.session_states.session_id", ondelete="CASCADE"), nullable=False),
    Column("chunk_id", Uuid, nullable=False),
    # Sealed on the device for the person; fusion is never told it, so it stays empty here.
    Column("transcript", LargeBinary),
    Column("stated_emotion", String(50)),
    Column("actual_emotion", String(50)),
    Column("dissonance_score", Double, nullable=False),
    Column("interpretation", String(100)),
    Column("risk_level", String(20)),
    _moment("detected_at", nullable=True, now=True),
    Column("direction", String(16), nullable=False),
    Column("evidence_chunk_ids", ARRAY(Uuid), nullable=False),
    _moment("create_time", now=True),
    UniqueConstraint("session_id", "chunk_id"),
    Index("idx_dissonance_records_user_id", "user_id"),
    Index("idx_dissonance_records_score", "dissonance_score"),
    Index("idx_dissonance_records_risk", "risk_level"),
    Index("idx_dissonance_records_capture", "session_id", "detected_at", "chunk_id"),
)
