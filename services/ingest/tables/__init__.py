"""The tables of ingest's slice."""

from services.ingest.tables.base import METADATA, SCHEMA
from services.ingest.tables.predictions import AUDIO_PREDICTIONS, TEXT_PREDICTIONS, VISION_PREDICTIONS
from services.ingest.tables.sealing_keys import SEALING_KEYS
from services.ingest.tables.sessions import SESSIONS

__all__ = [
    "AUDIO_PREDICTIONS",
    "METADATA",
    "SCHEMA",
    "SEALING_KEYS",
    "SESSIONS",
    "TEXT_PREDICTIONS",
    "VISION_PREDICTIONS",
]
