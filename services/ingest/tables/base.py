"""What all tables of the slice share."""

from sqlalchemy import Column, DateTime, ForeignKey, LargeBinary, MetaData, Numeric, Uuid, func

from libs.common.db import audit
from libs.common.feed import tables as feed_tables
from libs.common.people import tables as people_tables

SCHEMA = "ingest"
METADATA = MetaData(schema=SCHEMA)
people_tables.add_to(METADATA)
audit.add_to(METADATA)
feed_tables.add_to(METADATA)


def moment(name: str, *, nullable: bool = False, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def person(*, primary_key: bool = False) -> Column[object]:
    users = ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE")
    return Column("user_id", Uuid, users, primary_key=primary_key, nullable=False)


def score(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Numeric(5, 4), nullable=nullable)


def digest() -> Column[object]:
    return Column("content_digest", LargeBinary, nullable=False)
