"""Who consented to research, from when to when."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RESEARCH_CONSENTS = """
CREATE TABLE identity.research_consents (
    id UUID PRIMARY KEY,
    user_id UUID NOT NULL REFERENCES identity.users (user_id) ON DELETE CASCADE,
    granted_at TIMESTAMPTZ NOT NULL,
    withdrawn_at TIMESTAMPTZ
);
CREATE UNIQUE INDEX idx_research_consents_standing ON identity.research_consents (user_id)
    WHERE withdrawn_at IS NULL;
CREATE INDEX idx_research_consents_user_id ON identity.research_consents (user_id)
"""


def upgrade() -> None:
    for statement in RESEARCH_CONSENTS.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE identity.research_consents")
