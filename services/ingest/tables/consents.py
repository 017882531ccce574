"""Who consents to research, as identity's feed told it last."""

from sqlalchemy import Boolean, Column, Table

from services.ingest.tables.base import METADATA, moment, person

RESEARCH_CONSENTS = Table(
    "research_consents",
    METADATA,
    person(primary_key=True),
    Column("granted", Boolean, nullable=False),
    moment("change_time"),
)
