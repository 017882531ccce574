"""Whom a listing is about: one person, or everybody in a counselor's care (primary key of care_assignments)."""

from sqlalchemy import ColumnElement, Table, select

from libs.common.people.access import InCareOf, Reach
from services.ingest.tables import METADATA

CARE = METADATA.tables["ingest.care_assignments"]


def reached(table: Table, reach: Reach) -> ColumnElement[bool]:
    if isinstance(reach, InCareOf):
        return table.c.user_id.in_(select(CARE.c.user_id).where(CARE.c.counselor_id == reach.counselor_id))
    return table.c.user_id == reach.user_id
