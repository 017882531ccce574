"""Simulated edge models: what they would say of a person at a moment, with the noise of real perception.

Labels are votes of ten raters, drawn from the confusion tables of CREMA-D; scores carry normal noise on the logit.
"""

import math
import random
from collections.abc import Mapping

from quietus_edge.predictions import Audio, Text, TextCues, Vision, VoiceFeatures
from quietus_edge.simulation.crema_d import EMOTIONS, FACE_VOTES, VOICE_VOTES, Votes
from quietus_edge.simulation.personas import Moment

MODEL_VERSION = "simulated-1"
RATERS = 10
SCORE_NOISE = 0.35
FRAMES_PER_CHUNK = 150
# What someone feels at no distress and at full distress, in the order of EMOTIONS.
AT_EASE = (0.62, 0.30, 0.03, 0.02, 0.01, 0.02)
IN_DISTRESS = (0.06, 0.00, 0.60, 0.08, 0.24, 0.02)
LEVELS = ((0.35, "low"), (0.6, "medium"), (0.85, "high"), (1.01, "critical"))


class Voice:
    """One person's own voice: its prosody at ease, and how distress flattens and slows it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pitch_mean = rng.uniform(110, 230)
        self._pitch_std = self._pitch_mean * rng.uniform(0.14, 0.22)
        self._energy = rng.uniform(0.08, 0.16)
        self._speech_rate = rng.uniform(3.6, 4.8)
        self._pause_ratio = rng.uniform(0.16, 0.24)

    def features(self, distress: float) -> VoiceFeatures:
        pitch_std = self._noisy(self._pitch_std * (1 - 0.45 * distress))
        energy = self._noisy(self._energy * (1 - 0.35 * distress))
        return VoiceFeatures(
            pitch_mean=self._noisy(self._pitch_mean * (1 - 0.06 * distress)),
            pitch_std=pitch_std,
            pitch_range=self._noisy(4 * pitch_std),
            energy_mean=energy,
            energy_std=self._noisy(0.4 * energy),
            speech_rate=self._noisy(self._speech_rate * (1 - 0.3 * distress)),
            pause_ratio=min(self._noisy(self._pause_ratio * (1 + 1.2 * distress)), 1.0),
            prosody_variance=self._noisy(1 - 0.5 * distress),
        )

    def _noisy(self, value: float) -> float:
        return value * math.exp(self._rng.gauss(0, 0.05))


def vision(rng: random.Random, moment: Moment, felt: str) -> Vision:
    emotion, confidence, distribution = perceived(rng, FACE_VOTES, felt)
    return Vision(
        emotion=emotion,
        confidence=confidence,
        distress_score=_score(rng, moment.distress),
        model_version=MODEL_VERSION,
        frames_processed=FRAMES_PER_CHUNK,
        distribution=distribution,
    )


def audio(rng: random.Random, moment: Moment, felt: str, voice: Voice) -> Audio:
    emotion, confidence, distribution = perceived(rng, VOICE_VOTES, felt)
    return Audio(
        emotion=emotion,
        stress_score=_score(rng, moment.distress),
        confidence=confidence,
        model_version=MODEL_VERSION,
        distribution=distribution,
        features=voice.features(moment.distress),
    )


def text(rng: random.Random, moment: Moment) -> Text:
    distress = _score(rng, moment.spoken_distress)
    valence = min(max(rng.gauss(moment.valence, 0.08), -1.0), 1.0)
    return Text(
        risk_level=next(level for limit, level in LEVELS if distress < limit),
        distress_probability=distress,
        confidence=rng.uniform(0.7, 0.95),
        model_version=MODEL_VERSION,
        valence=valence,
        cues=_cues(rng, moment, distress),
        transcript=rng.choice(moment.sentences),
    )


def felt_emotion(rng: random.Random, distress: float) -> str:
    weights = [(1 - distress) * calm + distress * low for calm, low in zip(AT_EASE, IN_DISTRESS, strict=True)]
    return rng.choices(EMOTIONS, weights)[0]


def perceived(rng: random.Random, votes: Votes, felt: str) -> tuple[str, float, Mapping[str, float]]:
    """The leading label, its share, and the share of each label that got a vote."""
    drawn = rng.choices(EMOTIONS, votes[felt], k=RATERS)
    shares = {emotion: drawn.count(emotion) / RATERS for emotion in EMOTIONS if emotion in drawn}
    leading = max(shares, key=lambda emotion: shares[emotion])
    return leading, shares[leading], shares


def _score(rng: random.Random, level: float) -> float:
    return 1 / (1 + math.exp(-(math.log(level / (1 - level)) + rng.gauss(0, SCORE_NOISE))))


def _cues(rng: random.Random, moment: Moment, distress: float) -> TextCues:
    return TextCues(
        extractor_version=MODEL_VERSION,
        language="en",
        code_switching="niko_sawa" in moment.deflections,
        deflections=moment.deflections,
        topics=moment.topics,
        coping=moment.coping,
        first_person=_share(rng, 0.08 + 0.12 * distress),
        negation=_share(rng, 0.02 + 0.08 * distress),
        absolutes=_share(rng, 0.01 + 0.06 * distress),
        crisis_signals=moment.crisis_signals,
    )


def _share(rng: random.Random, mean: float) -> float:
    return min(max(rng.gauss(mean, mean / 5), 0.0), 1.0)
