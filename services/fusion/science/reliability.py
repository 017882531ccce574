"""From what one modality says to what that is worth as evidence of an emotion."""

from collections.abc import Mapping, Sequence

import numpy as np

from services.fusion.science.inputs import Booleans, Floats, Integers, Strings
from services.fusion.science.model import EmotionModel, ModalityReliability, VersionReliability, array_of
from services.fusion.science.sums import in_order
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion

# Hopeless, resigned and numb are shades of sadness that no data set has; surprise speaks for none of the six.
_SADNESS = (Emotion.SAD, Emotion.HOPELESS, Emotion.RESIGNED, Emotion.NUMB)
_TRUSTED = (*KNOWN_EMOTIONS, *_SADNESS[1:])


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
    trust, total = model.trust_array, in_order(distribution)
    has_distribution = total > 0.0
    stated, trusted = _of_distributions(trust, distribution / np.where(has_distribution, total, 1.0)[:, None])
    labels = ~has_distribution
    if labels.any():
        stated[labels], trusted[labels] = _of_labels(trust, reliability, emotion[labels], confidence[labels])
    for version, fitted in versions.items():
        rows = model_version == version
        stated[rows] = _as_meant(fitted, stated[rows])
    return stated + (1.0 - trusted)[:, None] * array_of(reliability.typical), trusted


def _of_distributions(trust: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Of n that sum to 1, or of nothing."""
    trusted = share * trust
    stated = trusted[:, _places(KNOWN_EMOTIONS)]
    stated[:, KNOWN_EMOTIONS.index(Emotion.SAD)] = in_order(trusted[:, _places(_SADNESS)])
    return stated, in_order(trusted[:, _places(_TRUSTED)])


def _of_labels(
    trust: Floats, reliability: ModalityReliability, emotion: Integers, confidence: Floats
) -> tuple[Floats, Floats]:
    """Of n labels without a distribution."""
    column = _COLUMN[emotion - 1]
    trusted = np.where(column >= 0, trust[emotion - 1], 0.0)
    stated = (np.arange(len(KNOWN_EMOTIONS)) == column[:, None]) * (trusted * confidence)[:, None]
    return stated + (trusted * (1.0 - confidence))[:, None] * array_of(reliability.spread)[column], trusted


def _places(emotions: Sequence[Emotion]) -> list[int]:
    """In arrays of ten."""
    return [emotion - 1 for emotion in emotions]


# By the place of a label: where it counts among KNOWN_EMOTIONS, or -1.
_COLUMN = np.array(
    [
        KNOWN_EMOTIONS.index(Emotion.SAD if label in _SADNESS else label) if label in _TRUSTED else -1
        for label in Emotion
    ]
)


def _as_meant(version: VersionReliability, stated: Floats) -> Floats:
    """A matrix product, added up in a fixed order."""
    meant = np.zeros_like(stated)
    for label, evidence_of_label in enumerate(array_of(version.evidence)):
        meant = meant + stated[:, label, None] * evidence_of_label
    return meant


def is_fitted(versions: Mapping[str, VersionReliability], model_version: Strings) -> Booleans:
    fitted = np.zeros(len(model_version), np.bool_)
    for version in versions:
        fitted |= model_version == version
    return fitted


def is_evidence(model: EmotionModel, trusted: Floats) -> Booleans:
    return trusted >= model.minimum_trusted
