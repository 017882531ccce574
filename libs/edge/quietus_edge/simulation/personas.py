"""Invented people: what each feels, shows and says as the weeks pass. Their numbers are made up, not measured."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

CALM_DISTRESS = 0.12
SENTENCES = (
    "I made tea and sat by the window.",
    "The bus came a little late this morning.",
    "I read a few pages before going out.",
    "We cooked rice and beans in the evening.",
    "It rained in the afternoon.",
    "I walked to the market and back.",
)
DEFLECTIONS = ("I'm fine, it was a long day.", "It's nothing, really.", "Niko sawa, all is well.")
# The words of someone in crisis are nobody's to invent: the cues carry what matters.
PLACEHOLDER = ("(placeholder for what was said)",)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A person in one session. Shares and scores in [0, 1], valence in [-1, 1].

    `distress` is what face and voice show, `spoken_distress` what the words say; `camera_share` is how much of the
    session has passed when the camera fails (1: it doesn't).
    """

    distress: float
    spoken_distress: float
    valence: float
    sentences: Sequence[str] = SENTENCES
    deflections: Sequence[str] = ()
    topics: Sequence[str] = ()
    coping: Sequence[str] = ()
    crisis_signals: Sequence[str] = ()
    camera_share: float = 1.0


# `progress` runs from 0 in the first session to 1 in the last.
Persona = Callable[[float], Moment]


def calm(progress: float) -> Moment:
    del progress
    return Moment(distress=CALM_DISTRESS, spoken_distress=CALM_DISTRESS, valence=0.35, coping=("walking",))


def declining(progress: float) -> Moment:
    """Well for the first third, then worse and worse, in face, voice and words alike."""
    distress = _ramp(progress, 0.35, 1.0, CALM_DISTRESS, 0.78)
    return Moment(
        distress=distress,
        spoken_distress=distress * 0.9,
        valence=0.35 - 1.2 * (distress - CALM_DISTRESS),
        topics=("work", "sleep") if distress > 0.3 else (),
        coping=("walking",) if distress < 0.3 else (),
        crisis_signals=("hopelessness",) if distress > 0.7 else (),
    )


def masking(progress: float) -> Moment:
    """Says that all is well, more insistently the less it is so."""
    distress = _ramp(progress, 0.4, 0.8, CALM_DISTRESS, 0.75)
    hiding = distress > 0.35
    return Moment(
        distress=distress,
        spoken_distress=0.08,
        valence=0.65 if hiding else 0.35,
        sentences=DEFLECTIONS if hiding else SENTENCES,
        deflections=("im_fine", "niko_sawa") if hiding else (),
        topics=("family",) if hiding else (),
    )


def crisis(progress: float) -> Moment:
    """Strained in the last weeks, in acute danger in the last session."""
    if progress < 1:
        strain = _ramp(progress, 0.6, 1.0, CALM_DISTRESS, 0.4)
        return Moment(distress=strain, spoken_distress=strain, valence=0.35 - strain, topics=("family",))
    return Moment(
        distress=0.95,
        spoken_distress=0.97,
        valence=-0.9,
        sentences=PLACEHOLDER,
        topics=("family",),
        crisis_signals=("active_ideation", "plan_or_intent"),
    )


def camera_failure(progress: float) -> Moment:
    """Calm; from the middle of the weeks on, the camera fails halfway through each session."""
    return Moment(
        distress=CALM_DISTRESS,
        spoken_distress=CALM_DISTRESS,
        valence=0.35,
        coping=("breathing",),
        camera_share=1.0 if progress < 0.5 else 0.5,
    )


PERSONAS: Mapping[str, Persona] = {
    "calm": calm,
    "declining": declining,
    "masking": masking,
    "crisis": crisis,
    "camera_failure": camera_failure,
}


def _ramp(progress: float, begin: float, end: float, low: float, high: float) -> float:
    share = min(max((progress - begin) / (end - begin), 0.0), 1.0)
    return low + share * (high - low)
