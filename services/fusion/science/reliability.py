"""From what one modality says to what that is worth as evidence of an emotion."""

from collections.abc import Mapping

import numpy as np

from services.fusion.science.inputs import Booleans, Floats, Integers, Strings
from services.fusion.science.model import EmotionModel, ModalityReliability, VersionReliability
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion

# Hopeless, resigned and numb are shades of sadness that no data set has; surprise speaks for none of the six.
_COUNTS_AS = {
    **{emotion: emotion for emotion in KNOWN_EMOTIONS},
    Emotion.HOPELESS: Emotion.SAD,
    Emotion.RESIGNED: Emotion.SAD,
    Emotion.NUMB: Emotion.SAD,
}


def evidence(
    model: EmotionModel,
    reliability: ModalityReliability,
    versions: Mapping[str, VersionReliability],
    emotion: Integers,
    confidence: Floats,
    distribution: Floats,
    model_version: Strings,
) -> tuple[Floats, Floats]:
    """Evidence (n, 6) in shares of votes, and how much of it is trusted (n,), from n predictions of one modality.

    A distribution (n, 10) goes through the trust in each of its emotions. A label alone (its row of the
    distribution is 0) is first completed: `confidence` for the label, the rest as raters' votes spread where they
    preferred it. What an edge model of a version in `versions` says is read as that version means it. What isn't
    trusted becomes what a prediction that says nothing looks like.
    """
    trust = np.array([model.trust[label.label] for label in Emotion])
    typical = np.array(reliability.typical)
    spread = np.array(reliability.spread)

    total = np.zeros(len(emotion))
    for number in range(len(Emotion)):
        total = total + distribution[:, number]
    has_distribution = total > 0.0
    share = distribution / np.where(has_distribution, total, 1.0)[:, None]

    stated = np.zeros((len(emotion), len(KNOWN_EMOTIONS)))
    trusted = np.zeros(len(emotion))
    for label, known in _COUNTS_AS.items():
        column = KNOWN_EMOTIONS.index(known)
        part = share[:, label - 1] * trust[label - 1]
        stated[:, column] = stated[:, column] + part
        trusted = trusted + part

        only_label = np.where(~has_distribution & (emotion == label), trust[label - 1], 0.0)
        stated[:, column] = stated[:, column] + only_label * confidence
        stated = stated + (only_label * (1.0 - confidence))[:, None] * spread[column]
        trusted = trusted + only_label
    for version, fitted in versions.items():
        rows = model_version == version
        stated[rows] = _as_meant(fitted, stated[rows])
    return stated + (1.0 - trusted)[:, None] * typical, trusted


def _as_meant(version: VersionReliability, stated: Floats) -> Floats:
    """A matrix product, added up in a fixed order."""
    meant = np.zeros_like(stated)
    for label, evidence_of_label in enumerate(np.array(version.evidence)):
        meant = meant + stated[:, label, None] * evidence_of_label
    return meant


def is_fitted(versions: Mapping[str, VersionReliability], model_version: Strings) -> Booleans:
    fitted = np.zeros(len(model_version), np.bool_)
    for version in versions:
        fitted |= model_version == version
    return fitted


def is_evidence(model: EmotionModel, trusted: Floats) -> Booleans:
    return trusted >= model.minimum_trusted
