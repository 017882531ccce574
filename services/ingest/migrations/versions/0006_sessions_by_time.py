"""Sessions by their start, whoever's they are."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX idx_sessions_started_at ON ingest.sessions (started_at)")


def downgrade() -> None:
    op.execute("DROP INDEX ingest.idx_sessions_started_at")
