"""How cases ended."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

OUTCOMES = """
CREATE TABLE fusion.case_outcomes (
    alert_id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES fusion.users (user_id) ON DELETE CASCADE,
    reason VARCHAR(32) NOT NULL,
    noise_reason VARCHAR(32) NOT NULL,
    level VARCHAR(16) NOT NULL,
    score DOUBLE PRECISION NOT NULL,
    open_time TIMESTAMPTZ NOT NULL,
    close_time TIMESTAMPTZ NOT NULL,
    session_id UUID NOT NULL,
    chunk_id UUID NOT NULL,
    session_ids UUID[] NOT NULL,
    patterns_alarmed BOOLEAN NOT NULL,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE INDEX idx_case_outcomes_user_id ON fusion.case_outcomes (user_id);
CREATE INDEX idx_case_outcomes_close_time ON fusion.case_outcomes (close_time);
CREATE INDEX idx_case_outcomes_session_id ON fusion.case_outcomes (session_id)
"""


def upgrade() -> None:
    for statement in OUTCOMES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE fusion.case_outcomes")
