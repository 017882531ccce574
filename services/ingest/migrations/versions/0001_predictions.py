"""Sessions and predictions."""

from alembic import op

from libs.common.db import partitions, shared_ddl

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "ingest"
PREDICTION_TABLES = ("vision_predictions", "audio_predictions", "text_predictions")

SESSIONS = """
CREATE TABLE ingest.sessions (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    status VARCHAR(16) NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    receive_time TIMESTAMPTZ NOT NULL,
    end_receive_time TIMESTAMPTZ,
    CONSTRAINT valid_status CHECK (status IN ('ACTIVE', 'ENDED'))
);
CREATE INDEX idx_sessions_user_id ON ingest.sessions (user_id, started_at, id)
"""

PREDICTIONS = """
CREATE TABLE ingest.{table} (
    id UUID NOT NULL,
    session_id UUID NOT NULL REFERENCES ingest.sessions (id) ON DELETE CASCADE,
    user_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    capture_start_time TIMESTAMPTZ NOT NULL,
    capture_end_time TIMESTAMPTZ NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    batch_number BIGINT NOT NULL,
    batch_index SMALLINT NOT NULL,
    content_digest BYTEA NOT NULL,
    {columns},
    model_version VARCHAR(64) NOT NULL,
    PRIMARY KEY (session_id, id),
    UNIQUE (session_id, chunk_id)
) PARTITION BY RANGE (session_id)
"""

VISION = """
    emotion VARCHAR(32) NOT NULL,
    confidence NUMERIC(5, 4) NOT NULL,
    distress_score NUMERIC(5, 4) NOT NULL,
    frames_processed INTEGER NOT NULL,
    distribution_labels SMALLINT[],
    distribution_probabilities REAL[]
"""

AUDIO = """
    emotion VARCHAR(32) NOT NULL,
    stress_score NUMERIC(5, 4) NOT NULL,
    confidence NUMERIC(5, 4) NOT NULL,
    distribution_labels SMALLINT[],
    distribution_probabilities REAL[],
    pitch_mean REAL,
    pitch_std REAL,
    pitch_range REAL,
    energy_mean REAL,
    energy_std REAL,
    speech_rate REAL,
    pause_ratio REAL,
    prosody_variance REAL
"""

TEXT = """
    transcript BYTEA NOT NULL,
    transcript_state VARCHAR(16) NOT NULL,
    risk_level VARCHAR(16) NOT NULL,
    distress_probability NUMERIC(5, 4) NOT NULL,
    confidence NUMERIC(5, 4) NOT NULL,
    valence NUMERIC(5, 4),
    cues JSONB
"""


def upgrade() -> None:
    shared_ddl.create_people_tables(op, SCHEMA)
    shared_ddl.create_audit_tables(op, SCHEMA)
    shared_ddl.create_feed_tables(op, SCHEMA)
    for statement in SESSIONS.split(";\n"):
        op.execute(statement)
    for table, columns in zip(PREDICTION_TABLES, (VISION, AUDIO, TEXT), strict=True):
        op.execute(PREDICTIONS.format(table=table, columns=columns.strip()))
    partitions.create_partitioning(op, SCHEMA, PREDICTION_TABLES)


def downgrade() -> None:
    partitions.drop_partitioning(op, SCHEMA)
    for table in (*PREDICTION_TABLES, "sessions"):
        op.execute(f"DROP TABLE ingest.{table}")
    shared_ddl.drop_feed_tables(op, SCHEMA)
    shared_ddl.drop_audit_tables(op, SCHEMA)
    shared_ddl.drop_people_tables(op, SCHEMA)
