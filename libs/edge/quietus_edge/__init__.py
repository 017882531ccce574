"""The SDK of Quietus for edge apps. EdgeClient is where to begin."""

from quietus_edge.client import EdgeClient, tls
from quietus_edge.predictions import Audio, Chunk, Text, TextCues, Vision, VoiceFeatures
from quietus_edge.session import Session
from quietus_edge.settings import Limits
from quietus_edge.status import Problem, Refused, Status

__all__ = [
    "Audio",
    "Chunk",
    "EdgeClient",
    "Limits",
    "Problem",
    "Refused",
    "Session",
    "Status",
    "Text",
    "TextCues",
    "Vision",
    "VoiceFeatures",
    "tls",
]
