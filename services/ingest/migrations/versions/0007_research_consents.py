"""Who consents to research."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

RESEARCH_CONSENTS = """
CREATE TABLE ingest.research_consents (
    user_id UUID PRIMARY KEY REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    granted BOOLEAN NOT NULL,
    change_time TIMESTAMPTZ NOT NULL
)
"""


def upgrade() -> None:
    op.execute(RESEARCH_CONSENTS)


def downgrade() -> None:
    op.execute("DROP TABLE ingest.research_consents")
