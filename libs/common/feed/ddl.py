"""What a slice's first migration calls to make the tables of `tables.py`, and to drop them."""

from alembic import op

_TABLES = """
CREATE TABLE {schema}.feed_identity (
    feed_id UUID PRIMARY KEY,
    only_row BOOLEAN NOT NULL UNIQUE DEFAULT true,
    create_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT feed_identity_has_one_row CHECK (only_row)
);
CREATE TABLE {schema}.feed_head (
    partition SMALLINT PRIMARY KEY,
    position BIGINT NOT NULL DEFAULT 0,
    pruned_position BIGINT NOT NULL DEFAULT 0
);
CREATE TABLE {schema}.outbox (
    partition SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    commit_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    payload BYTEA NOT NULL,
    PRIMARY KEY (partition, position)
);
CREATE TABLE {schema}.feed_followers (
    follower TEXT NOT NULL,
    partition SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    report_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (follower, partition)
);
CREATE TABLE {schema}.feed_cursors (
    source TEXT NOT NULL,
    partition SMALLINT NOT NULL,
    feed_id UUID NOT NULL,
    position BIGINT NOT NULL,
    update_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, partition)
);
CREATE TABLE {schema}.parked_events (
    source TEXT NOT NULL,
    partition SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    index INTEGER NOT NULL,
    user_id UUID NOT NULL,
    event BYTEA NOT NULL,
    commit_time TIMESTAMPTZ NOT NULL,
    reason TEXT NOT NULL,
    park_time TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, partition, position, index)
);
CREATE INDEX idx_parked_events_person ON {schema}.parked_events (source, user_id, partition, position, index);
"""

_NAMES = ("parked_events", "feed_cursors", "feed_followers", "outbox", "feed_head", "feed_identity")


def create_feed_tables(schema: str, partitions: int = 1) -> None:
    """Makes the tables and the feed's identity. The count of partitions, 1 to 1024, never changes afterwards."""
    if not 1 <= partitions <= 1024:
        raise ValueError("a feed has 1 to 1024 partitions")
    for statement in _TABLES.strip().split(";\n"):
        op.execute(statement.format(schema=schema))
    # Compressing payloads would cost every writer more than the bytes are worth for the days that they stay.
    op.execute(f"ALTER TABLE {schema}.outbox ALTER COLUMN payload SET STORAGE EXTERNAL")
    op.execute(f"INSERT INTO {schema}.feed_identity (feed_id) VALUES (gen_random_uuid())")  # noqa: S608
    op.execute(f"INSERT INTO {schema}.feed_head (partition) SELECT generate_series(0, {partitions - 1})")


def drop_feed_tables(schema: str) -> None:
    for name in _NAMES:
        op.execute(f"DROP TABLE {schema}.{name}")
