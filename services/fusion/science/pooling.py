"""Distress of a chunk: additive on the logit, so that each modality's part in it is a number that anyone can check."""

from dataclasses import dataclass

import numpy as np

from services.fusion.science.inputs import Booleans, Floats
from services.fusion.science.model import DistressModel
from services.fusion.vocabulary import Modality


@dataclass(frozen=True, slots=True)
class Pooled:
    """n chunks."""

    prior_logit: float
    contributions: Floats  # (n, 3): what each modality adds; 0 where it is absent
    logit: Floats  # (n,): the prior and then the contributions by modality number, added in this order
    score: Floats  # (n,): sigmoid of the logit, [0, 1]
    evidence: Floats  # (n,): sum of weight x confidence, as a share of all weights, [0, 1]
    confidence: Floats  # (n,), [0, 1]


def pool(model: DistressModel, present: Booleans, probability: Floats, confidence: Floats) -> Pooled:
    """All (n, 3): `present`, and what each modality says as probability of distress and as confidence in it."""
    prior_logit = float(logit(np.array([model.prior]))[0])
    clipped = np.clip(probability, *model.clip)
    evidence = np.where(present, model.weight_array * confidence, 0.0)
    contributions = np.where(present, evidence * (logit(clipped) - prior_logit), 0.0)
    total = np.full(len(present), prior_logit)
    for modality in Modality:
        total = total + contributions[:, modality - 1]
    mass = _sum_of_modalities(evidence)
    return Pooled(
        prior_logit=prior_logit,
        contributions=contributions,
        logit=total,
        score=sigmoid(total),
        evidence=mass / sum(model.weights[modality.label] for modality in Modality),
        confidence=_confidence(model, evidence, mass, probability),
    )


def _confidence(model: DistressModel, evidence: Floats, mass: Floats, probability: Floats) -> Floats:
    """Grows with evidence and shrinks with conflict, each within [0, 1].

    Conflict is twice the smaller of the evidence for and against distress (each weighted by how far its probability
    is from even), as a share of all evidence. So more evidence on the greater side never lowers confidence: the
    smaller side stays and its share falls.
    """
    clearness = evidence * (2.0 * probability - 1.0)
    distressed = _sum_of_modalities(np.maximum(clearness, 0.0))
    calm = _sum_of_modalities(np.maximum(-clearness, 0.0))
    agreement = 1.0 - 2.0 * np.minimum(distressed, calm) / np.where(mass > 0.0, mass, 1.0)
    sureness: Floats = agreement * (1.0 - np.exp(-mass / model.evidence_scale))
    return sureness


def _sum_of_modalities(values: Floats) -> Floats:
    """Over the second axis, in the order of the modalities' numbers."""
    total: Floats = values[:, 0] + values[:, 1] + values[:, 2]
    return total


def logit(probability: Floats) -> Floats:
    odds: Floats = np.log(probability / (1.0 - probability))
    return odds


def sigmoid(value: Floats) -> Floats:
    share: Floats = 1.0 / (1.0 + np.exp(-value))
    return share
