"""Months past retention are dropped by a function of the owner's."""

from alembic import op

from libs.common.db import partitions

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "fusion"
PARTITIONED = ("chunk_inputs", "fusion_results")
# Results outlive their inputs.
EXPIRING = ("chunk_inputs",)


def upgrade() -> None:
    partitions.create_retention(op, SCHEMA, PARTITIONED, expiring=EXPIRING)


def downgrade() -> None:
    partitions.drop_retention(op, SCHEMA)
