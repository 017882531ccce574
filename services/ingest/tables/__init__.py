"""The tables of ingest's slice."""

from services.ingest.tables.analyses import ANALYSIS_RECORDS
from services.ingest.tables.base import METADATA, SCHEMA
from services.ingest.tables.predictions import AUDIO_PREDICTIONS, TEXT_PREDICTIONS, VISION_PREDICTIONS
from services.ingest.tables.sealing_keys import SEALING_KEYS
from services.ingest.tables.sessions import SESSIONS
from services.ingest.tables.video import VIDEO_ANALYSIS_EVENTS, VIDEO_SESSIONS
from services.ingest.tables.voice import VOICE_SESSIONS

__all__ = [
    "ANALYSIS_RECORDS",
    "AUDIO_PREDICTIONS",
    "METADATA",
    "SCHEMA",
    "SEALING_KEYS",
    "SESSIONS",
    "TEXT_PREDICTIONS",
    "VIDEO_ANALYSIS_EVENTS",
    "VIDEO_SESSIONS",
    "VISION_PREDICTIONS",
    "VOICE_SESSIONS",
]
