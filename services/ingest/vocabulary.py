"""The names under which tables keep the contract's enums, by their numbers. 0 says nothing and is never stored."""

from enum import IntEnum, StrEnum

EMOTIONS = (
    "",
    "neutral",
    "happy",
    "sad",
    "angry",
    "fear",
    "surprise",
    "disgust",
    "hopeless",
    "resigned",
    "numb",
)
RISK_LEVELS = ("", "low", "medium", "high", "critical")
CRISIS_SIGNALS = (
    "",
    "hopelessness",
    "passive_ideation",
    "active_ideation",
    "plan_or_intent",
    "self_harm",
    "farewell",
)
VIDEO_SESSION_TYPES = ("", "monitoring", "check_in", "counseling")
CLIENT_PLATFORMS = ("", "android", "ios", "web", "desktop", "kiosk")


class VideoSessionStatus(StrEnum):
    ACTIVE = "ACTIVE"
    ENDED = "ENDED"
    FAILED = "FAILED"


VIDEO_SESSION_STATUSES = ("", *VideoSessionStatus)


class TranscriptState(StrEnum):
    """What became of words that somebody said."""

    SEALED = "sealed"
    NOT_KEPT = "not_kept"
    NO_KEY = "no_key"


TRANSCRIPT_STATES = ("", *TranscriptState)
SEALED, NOT_KEPT = 1, 2

# Hertz, hertz, hertz, of full scale, of full scale, syllables a second, share, normalised by the edge model.
FEATURE_MAXIMA = {
    "pitch_mean": 2000.0,
    "pitch_std": 2000.0,
    "pitch_range": 2000.0,
    "energy_mean": 1.0,
    "energy_std": 1.0,
    "speech_rate": 20.0,
    "pause_ratio": 1.0,
    "prosody_variance": 100.0,
}
FEATURES = tuple(FEATURE_MAXIMA)


class Modality(IntEnum):
    VISION = 1
    AUDIO = 2
    TEXT = 3

    __hash__ = int.__hash__  # an enum hashes its name, slowly


class Reason(IntEnum):
    """The numbers of the contract's RefusalReason."""

    MISSING = 1
    OUT_OF_RANGE = 2
    UNKNOWN_VALUE = 3
    TOO_LONG = 4
    BAD_DISTRIBUTION = 5
    BAD_CAPTURE_TIME = 6
    CONFLICT = 7
    CHUNK_INTERVAL_CONFLICT = 8
    PLAINTEXT_NOT_ALLOWED = 9
