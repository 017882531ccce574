"""Who sends, why a session ended, which modalities fell silent, and how the clocks of senders stand."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Of sessions that ended before: by word was the only way. The condition is checked of new rows alone, so that the
# table isn't read through under a lock.
SESSIONS = """
ALTER TABLE ingest.sessions
    ADD COLUMN device_id UUID,
    ADD COLUMN end_cause VARCHAR(16),
    ADD CONSTRAINT valid_end_cause CHECK (end_cause IN ('BY_WORD', 'SILENCE', 'AGE')) NOT VALID;
CREATE INDEX idx_sessions_active ON ingest.sessions (receive_time, id) WHERE status = 'ACTIVE'
"""

SENDERS = """
CREATE TABLE ingest.session_senders (
    session_id UUID NOT NULL REFERENCES ingest.sessions (id) ON DELETE CASCADE,
    sender_id UUID NOT NULL,
    user_id UUID NOT NULL,
    device_id UUID,
    ordinal SMALLINT NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    last_receive_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (session_id, sender_id),
    UNIQUE (session_id, ordinal)
)
"""

SILENCES = """
CREATE TABLE ingest.modality_silences (
    session_id UUID NOT NULL REFERENCES ingest.sessions (id) ON DELETE CASCADE,
    modality SMALLINT NOT NULL,
    since_time TIMESTAMPTZ NOT NULL,
    user_id UUID NOT NULL,
    cause VARCHAR(16) NOT NULL,
    receive_time TIMESTAMPTZ NOT NULL,
    resume_time TIMESTAMPTZ,
    resume_receive_time TIMESTAMPTZ,
    PRIMARY KEY (session_id, modality, since_time),
    CONSTRAINT valid_cause CHECK (cause IN ('NO_SIGN', 'OFF', 'FAILED'))
);
CREATE UNIQUE INDEX idx_modality_silences_lasting ON ingest.modality_silences (session_id, modality)
    WHERE resume_receive_time IS NULL;
CREATE TABLE ingest.modality_heartbeats (
    session_id UUID NOT NULL REFERENCES ingest.sessions (id) ON DELETE CASCADE,
    modality SMALLINT NOT NULL,
    user_id UUID NOT NULL,
    running_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (session_id, modality)
)
"""

CLOCKS = """
CREATE TABLE ingest.sender_clocks (
    user_id UUID NOT NULL REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    sender_id UUID NOT NULL,
    skew_microseconds BIGINT NOT NULL,
    uncertainty_microseconds BIGINT,
    samples SMALLINT NOT NULL,
    estimate_time TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (user_id, sender_id)
)
"""


def upgrade() -> None:
    for statements in (SESSIONS, SENDERS, SILENCES, CLOCKS):
        for statement in statements.split(";\n"):
            op.execute(statement)


def downgrade() -> None:
    for table in ("sender_clocks", "modality_heartbeats", "modality_silences", "session_senders"):
        op.execute(f"DROP TABLE ingest.{table}")
    op.execute("DROP INDEX ingest.idx_sessions_active")
    op.execute("ALTER TABLE ingest.sessions DROP COLUMN end_cause, DROP COLUMN device_id")
