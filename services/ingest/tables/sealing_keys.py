"""The key that seals for a person, as identity's feed tells it."""

from sqlalchemy import Column, LargeBinary, String, Table

from services.ingest.tables.base import METADATA, moment, person

SEALING_KEYS = Table(
    "sealing_keys",
    METADATA,
    person(primary_key=True),
    Column("key_id", String(64), nullable=False),
    # X25519, 32 bytes.
    Column("public_key", LargeBinary, nullable=False),
    moment("register_time"),
)
