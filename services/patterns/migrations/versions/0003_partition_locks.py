"""Partitions are made while sessions are written: what the function locks first."""

from alembic import op

from libs.common.db import partitions

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "patterns"
PARTITIONED = ("ingested_batches", "chunk_features", "chunk_results")


def upgrade() -> None:
    partitions.replace_ensure_partitions(op, SCHEMA, PARTITIONED)


def downgrade() -> None:
    """The function does the same under the revision before."""
