"""The tables of patterns' slice."""

from libs.common.db import audit
from libs.common.feed import tables as feed
from libs.common.people import tables as people
from services.patterns.tables import derived, inputs
from services.patterns.tables.base import METADATA, SCHEMA

people.add_to(METADATA)
feed.add_to(METADATA)
audit.add_to(METADATA)

__all__ = ["METADATA", "SCHEMA", "derived", "inputs"]
