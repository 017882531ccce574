"""The tables that a slice needs to tell a feed and to follow others. `ddl.py` makes the same ones in migrations."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)


def add_to(metadata: MetaData) -> None:
    """Adds the tables to the slice's metadata, in its schema."""
    _add_tables_of_owner(metadata)
    _add_tables_of_follower(metadata)


def _add_tables_of_owner(metadata: MetaData) -> None:
    Table(
        "feed_identity",
        metadata,
        Column("feed_id", Uuid, primary_key=True),
        Column("only_row", Boolean, nullable=False, unique=True, server_default=text("true")),
        _created("create_time"),
        CheckConstraint("only_row", name="feed_identity_has_one_row"),
    )
    # One row a partition, locked by every transaction that appends: positions are dense and in commit order by it.
    Table(
        "feed_head",
        metadata,
        Column("partition", SmallInteger, primary_key=True, autoincrement=False),
        Column("position", BigInteger, nullable=False, server_default=text("0")),
        Column("pruned_position", BigInteger, nullable=False, server_default=text("0")),
    )
    # payload: a serialised FeedPayload, the events of one transaction.
    Table(
        "outbox",
        metadata,
        Column("partition", SmallInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        _created("commit_time"),
        Column("payload", LargeBinary, nullable=False),
        PrimaryKeyConstraint("partition", "position"),
    )
    Table(
        "feed_followers",
        metadata,
        Column("follower", Text, nullable=False),
        Column("partition", SmallInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        _created("report_time"),
        PrimaryKeyConstraint("follower", "partition"),
    )


def _add_tables_of_follower(metadata: MetaData) -> None:
    # position: the newest that is applied; -1 while a backfill runs.
    Table(
        "feed_cursors",
        metadata,
        Column("source", Text, nullable=False),
        Column("partition", SmallInteger, nullable=False),
        Column("feed_id", Uuid, nullable=False),
        Column("position", BigInteger, nullable=False),
        _created("update_time"),
        PrimaryKeyConstraint("source", "partition"),
    )
    # user_id: nil for events that are about nobody.
    Table(
        "parked_events",
        metadata,
        Column("source", Text, nullable=False),
        Column("partition", SmallInteger, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("index", Integer, nullable=False),
        Column("user_id", Uuid, nullable=False),
        Column("event", LargeBinary, nullable=False),
        Column("commit_time", DateTime(timezone=True), nullable=False),
        Column("reason", Text, nullable=False),
        _created("park_time"),
        PrimaryKeyConstraint("source", "partition", "position", "index"),
        Index("idx_parked_events_person", "source", "user_id", "partition", "position", "index"),
    )


def _created(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.clock_timestamp())
