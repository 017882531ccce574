"""The tables of patterns' slice."""

from services.patterns.tables import derived, inputs
from services.patterns.tables.base import METADATA, SCHEMA

__all__ = ["METADATA", "SCHEMA", "derived", "inputs"]
