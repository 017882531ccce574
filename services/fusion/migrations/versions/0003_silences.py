"""Stretches in which a modality lacked."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SILENCES = """
CREATE TABLE fusion.modality_silences (
    session_id UUID NOT NULL,
    modality SMALLINT NOT NULL,
    since_time TIMESTAMPTZ NOT NULL,
    user_id UUID NOT NULL REFERENCES fusion.users (user_id) ON DELETE CASCADE,
    reason VARCHAR(16) NOT NULL,
    resume_time TIMESTAMPTZ,
    create_time TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, modality, since_time)
);
CREATE INDEX idx_modality_silences_user_id ON fusion.modality_silences (user_id)
"""


def upgrade() -> None:
    for statement in SILENCES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE fusion.modality_silences")
