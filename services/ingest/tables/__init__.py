"""The tables of ingest's slice."""

from services.ingest.tables.analyses import ANALYSIS_RECORDS
from services.ingest.tables.base import METADATA, SCHEMA
from services.ingest.tables.consents import RESEARCH_CONSENTS
from services.ingest.tables.predictions import AUDIO_PREDICTIONS, TEXT_PREDICTIONS, VISION_PREDICTIONS
from services.ingest.tables.sealing_keys import SEALING_KEYS
from services.ingest.tables.sessions import SENDER_CLOCKS, SESSION_SENDERS, SESSIONS
from services.ingest.tables.silences import MODALITY_HEARTBEATS, MODALITY_SILENCES
from services.ingest.tables.video import VIDEO_ANALYSIS_EVENTS, VIDEO_SESSIONS
from services.ingest.tables.voice import VOICE_SESSIONS

__all__ = [
    "ANALYSIS_RECORDS",
    "AUDIO_PREDICTIONS",
    "METADATA",
    "MODALITY_HEARTBEATS",
    "MODALITY_SILENCES",
    "RESEARCH_CONSENTS",
    "SCHEMA",
    "SEALING_KEYS",
    "SENDER_CLOCKS",
    "SESSIONS",
    "SESSION_SENDERS",
    "TEXT_PREDICTIONS",
    "VIDEO_ANALYSIS_EVENTS",
    "VIDEO_SESSIONS",
    "VISION_PREDICTIONS",
    "VOICE_SESSIONS",
]
