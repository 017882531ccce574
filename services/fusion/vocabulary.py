"""The contract's vocabulary for the domain: the same numbers as the protos, without importing them."""

from enum import IntEnum
from functools import cached_property


class Modality(IntEnum):
    VISION = 1
    AUDIO = 2
    TEXT = 3

    @cached_property
    def label(self) -> str:
        return self.name.lower()


class Emotion(IntEnum):
    NEUTRAL = 1
    HAPPY = 2
    SAD = 3
    ANGRY = 4
    FEAR = 5
    SURPRISE = 6
    DISGUST = 7
    HOPELESS = 8
    RESIGNED = 9
    NUMB = 10

    @cached_property
    def label(self) -> str:
        return self.name.lower()


class Level(IntEnum):
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @cached_property
    def label(self) -> str:
        """As the database holds it."""
        return self.name.lower()


class Direction(IntEnum):
    """Which way what is said differs from what is shown."""

    CONGRUENT = 1
    MASKING = 2
    COPING = 3
    UNCLEAR = 4

    @cached_property
    def label(self) -> str:
        return self.name.lower()


class CrisisSignal(IntEnum):
    HOPELESSNESS = 1
    PASSIVE_IDEATION = 2
    ACTIVE_IDEATION = 3
    PLAN_OR_INTENT = 4
    SELF_HARM = 5
    FAREWELL = 6


CRITICAL_SIGNALS = frozenset(
    (CrisisSignal.ACTIVE_IDEATION, CrisisSignal.PLAN_OR_INTENT, CrisisSignal.SELF_HARM, CrisisSignal.FAREWELL)
)

# The emotions that CREMA-D has, in the order of their numbers: every array of six in this service has this order.
KNOWN_EMOTIONS = (Emotion.NEUTRAL, Emotion.HAPPY, Emotion.SAD, Emotion.ANGRY, Emotion.FEAR, Emotion.DISGUST)
# The modalities that show an emotion; text says a valence instead.
SHOWING_MODALITIES = (Modality.VISION, Modality.AUDIO)
