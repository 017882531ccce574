"""Months past retention are dropped by a function of the owner's."""

from alembic import op

from libs.common.db import partitions

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "ingest"
PARTITIONED = ("vision_predictions", "audio_predictions", "text_predictions")


def upgrade() -> None:
    partitions.create_retention(op, SCHEMA, PARTITIONED, expiring=PARTITIONED)


def downgrade() -> None:
    partitions.drop_retention(op, SCHEMA)
