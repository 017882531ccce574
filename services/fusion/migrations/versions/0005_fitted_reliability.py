"""Whether a modality's emotions were read by a table of its edge model's version."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = ("vision_fitted", "audio_fitted")


def upgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE fusion.fusion_results ADD COLUMN {column} BOOLEAN")


def downgrade() -> None:
    for column in COLUMNS:
        op.execute(f"ALTER TABLE fusion.fusion_results DROP COLUMN {column}")
