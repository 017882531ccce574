"""Inputs, results and states of fused chunks."""

from alembic import op

from libs.common.db import partitions, shared_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "fusion"
PARTITIONED_TABLES = ("chunk_inputs", "fusion_results")

TABLES = """
CREATE TABLE fusion.model_versions (
    version VARCHAR(64) PRIMARY KEY,
    checksum VARCHAR(64) NOT NULL,
    document JSONB NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE fusion.session_states (
    session_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES fusion.users (user_id) ON DELETE CASCADE,
    chunks BIGINT NOT NULL,
    capture_end_time TIMESTAMPTZ NOT NULL,
    chunk_id UUID NOT NULL,
    level VARCHAR(16) NOT NULL,
    state_logit DOUBLE PRECISION NOT NULL,
    state_seconds DOUBLE PRECISION NOT NULL,
    session_score DOUBLE PRECISION NOT NULL,
    level_cause VARCHAR(32) NOT NULL,
    critical_until TIMESTAMPTZ,
    high_until TIMESTAMPTZ,
    leading_reason VARCHAR(32) NOT NULL,
    judged_chunk_ids UUID[] NOT NULL,
    judged_directions SMALLINT[] NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_session_states_user_id ON fusion.session_states (user_id);

CREATE TABLE fusion.session_ends (
    session_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES fusion.users (user_id) ON DELETE CASCADE,
    end_time TIMESTAMPTZ NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_session_ends_user_id ON fusion.session_ends (user_id);

CREATE TABLE fusion.chunk_inputs (
    session_id UUID NOT NULL REFERENCES fusion.session_states (session_id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    modality SMALLINT NOT NULL,
    capture_start_time TIMESTAMPTZ NOT NULL,
    capture_end_time TIMESTAMPTZ NOT NULL,
    batch_number BIGINT NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    probability DOUBLE PRECISION NOT NULL,
    confidence DOUBLE PRECISION NOT NULL,
    emotion SMALLINT,
    distribution REAL[],
    level SMALLINT,
    valence DOUBLE PRECISION,
    deflection BOOLEAN,
    signals SMALLINT[],
    model_version VARCHAR(64) NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, chunk_id, modality)
) PARTITION BY RANGE (session_id);

CREATE TABLE fusion.fusion_results (
    id UUID NOT NULL,
    session_id UUID NOT NULL REFERENCES fusion.session_states (session_id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    final_risk VARCHAR(16) NOT NULL,
    final_score NUMERIC(5,4) NOT NULL,
    confidence NUMERIC(5,4) NOT NULL,
    modalities_used JSONB NOT NULL,
    computed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    capture_start_time TIMESTAMPTZ NOT NULL,
    capture_end_time TIMESTAMPTZ NOT NULL,
    revision INTEGER NOT NULL,
    batch_number BIGINT NOT NULL,
    model_version VARCHAR(64) NOT NULL,
    numpy_version VARCHAR(32) NOT NULL,
    exact_score DOUBLE PRECISION NOT NULL,
    exact_confidence DOUBLE PRECISION NOT NULL,
    logit DOUBLE PRECISION NOT NULL,
    prior_logit DOUBLE PRECISION NOT NULL,
    evidence DOUBLE PRECISION NOT NULL,
    vision_probability DOUBLE PRECISION,
    vision_weight DOUBLE PRECISION,
    vision_confidence DOUBLE PRECISION,
    vision_logit DOUBLE PRECISION,
    audio_probability DOUBLE PRECISION,
    audio_weight DOUBLE PRECISION,
    audio_confidence DOUBLE PRECISION,
    audio_logit DOUBLE PRECISION,
    text_probability DOUBLE PRECISION,
    text_weight DOUBLE PRECISION,
    text_confidence DOUBLE PRECISION,
    text_logit DOUBLE PRECISION,
    emotion_neutral DOUBLE PRECISION,
    emotion_happy DOUBLE PRECISION,
    emotion_sad DOUBLE PRECISION,
    emotion_angry DOUBLE PRECISION,
    emotion_fear DOUBLE PRECISION,
    emotion_disgust DOUBLE PRECISION,
    said_valence DOUBLE PRECISION,
    shown_valence DOUBLE PRECISION,
    shown_emotion VARCHAR(32),
    dissonance_direction VARCHAR(16) NOT NULL,
    dissonance_score DOUBLE PRECISION NOT NULL,
    level_floor VARCHAR(16),
    critical_cue BOOLEAN NOT NULL,
    state_logit DOUBLE PRECISION NOT NULL,
    state_seconds DOUBLE PRECISION NOT NULL,
    session_score DOUBLE PRECISION NOT NULL,
    level_cause VARCHAR(32) NOT NULL,
    critical_until TIMESTAMPTZ,
    high_until TIMESTAMPTZ,
    leading_reason VARCHAR(32) NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, id),
    UNIQUE (session_id, chunk_id)
) PARTITION BY RANGE (session_id);
CREATE INDEX idx_fusion_results_capture ON fusion.fusion_results (session_id, capture_end_time, chunk_id);

CREATE TABLE fusion.llm_explanations (
    id UUID PRIMARY KEY,
    session_id UUID NOT NULL REFERENCES fusion.session_states (session_id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    summary TEXT NOT NULL,
    key_signals JSONB NOT NULL,
    recommended_action_level VARCHAR(32) NOT NULL,
    explanation_confidence NUMERIC(5,4) NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (session_id, chunk_id)
);

CREATE TABLE fusion.dissonance_records (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES fusion.users (user_id) ON DELETE CASCADE,
    session_id UUID NOT NULL REFERENCES fusion.session_states (session_id) ON DELETE CASCADE,
    chunk_id UUID NOT NULL,
    transcript BYTEA,
    stated_emotion VARCHAR(50),
    actual_emotion VARCHAR(50),
    dissonance_score DOUBLE PRECISION NOT NULL,
    interpretation VARCHAR(100),
    risk_level VARCHAR(20),
    detected_at TIMESTAMPTZ DEFAULT now(),
    direction VARCHAR(16) NOT NULL,
    evidence_chunk_ids UUID[] NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    UNIQUE (session_id, chunk_id)
);
CREATE INDEX idx_dissonance_records_user_id ON fusion.dissonance_records (user_id);
CREATE INDEX idx_dissonance_records_score ON fusion.dissonance_records (dissonance_score);
CREATE INDEX idx_dissonance_records_risk ON fusion.dissonance_records (risk_level);
CREATE INDEX idx_dissonance_records_capture ON fusion.dissonance_records (session_id, detected_at, chunk_id);
"""

NAMES = (
    "dissonance_records",
    "llm_explanations",
    "fusion_results",
    "chunk_inputs",
    "session_ends",
    "session_states",
    "model_versions",
)


def upgrade() -> None:
    shared_ddl.create_people_tables(op, SCHEMA)
    shared_ddl.create_audit_tables(op, SCHEMA)
    shared_ddl.create_feed_tables(op, SCHEMA)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    partitions.create_partitioning(op, SCHEMA, PARTITIONED_TABLES)


def downgrade() -> None:
    partitions.drop_partitioning(op, SCHEMA)
    for name in NAMES:
        op.execute(f"DROP TABLE {SCHEMA}.{name}")
    shared_ddl.drop_feed_tables(op, SCHEMA)
    shared_ddl.drop_audit_tables(op, SCHEMA)
    shared_ddl.drop_people_tables(op, SCHEMA)
