"""What all tables of the slice share."""

from sqlalchemy import Column, DateTime, Double, ForeignKey, MetaData, String, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

SCHEMA = "patterns"
METADATA = MetaData(schema=SCHEMA)


def moment(name: str, *, nullable: bool = True, now: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=func.now() if now else None)


def person() -> Column[object]:
    return Column("user_id", Uuid, ForeignKey(f"{SCHEMA}.users.user_id", ondelete="CASCADE"), nullable=False)


def number(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, Double, nullable=nullable)


def words(name: str) -> Column[object]:
    return Column(name, ARRAY(String(50)))
