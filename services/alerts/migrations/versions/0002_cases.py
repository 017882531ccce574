"""What an alert was, and what it rested on, once it is resolved."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

COLUMNS = {"noise_reason": "VARCHAR(32)", "fusion_session_ids": "UUID[]", "patterns_alarmed": "BOOLEAN"}


def upgrade() -> None:
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE alerts.risk_alerts ADD COLUMN {name} {kind}")


def downgrade() -> None:
    for name in COLUMNS:
        op.execute(f"ALTER TABLE alerts.risk_alerts DROP COLUMN {name}")
