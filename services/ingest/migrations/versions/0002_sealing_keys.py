"""The key that seals for a person."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SEALING_KEYS = """
CREATE TABLE ingest.sealing_keys (
    user_id UUID PRIMARY KEY REFERENCES ingest.users (user_id) ON DELETE CASCADE,
    key_id VARCHAR(64) NOT NULL,
    public_key BYTEA NOT NULL,
    register_time TIMESTAMPTZ NOT NULL
)
"""


def upgrade() -> None:
    op.execute(SEALING_KEYS)


def downgrade() -> None:
    op.execute("DROP TABLE ingest.sealing_keys")
