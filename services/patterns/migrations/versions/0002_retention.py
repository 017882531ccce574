"""Months past retention are dropped by a function of the owner's."""

from alembic import op

from libs.common.db import partitions

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "patterns"
PARTITIONED = ("ingested_batches", "chunk_features", "chunk_results")


def upgrade() -> None:
    partitions.create_retention(op, SCHEMA, PARTITIONED, expiring=PARTITIONED)


def downgrade() -> None:
    partitions.drop_retention(op, SCHEMA)
