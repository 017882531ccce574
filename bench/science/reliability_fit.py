"""Fits how one version of an edge model reads, from its predictions on moments whose emotion is known."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from services.fusion.science.inputs import Floats, Integers
from services.fusion.science.model import ModalityReliability, checksum_of, parse_model
from services.fusion.vocabulary import KNOWN_EMOTIONS, Modality

LABELS = tuple(emotion.label for emotion in KNOWN_EMOTIONS)
EMOTIONS = len(LABELS)
# As strong as the evidence of about as many predictions of each emotion: with fewer, the modality's prior prevails.
PRIOR_STRENGTH = 20.0
DECIMALS = 6


class PredictionsError(ValueError):
    """The file is not of the format; the message says where."""


@dataclass(frozen=True)
class Labelled:
    """n predictions: whose, what was the case (an index of KNOWN_EMOTIONS), and the shares (n, 6) that came."""

    person: Sequence[str]
    truth: Integers
    shares: Floats


def load(path: Path) -> Labelled:
    """A CSV with the columns person, truth and the six emotions. PredictionsError."""
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise PredictionsError(f"{path}: {error}") from None
    if not rows:
        raise PredictionsError(f"{path}: it holds no prediction")
    lacking = {"person", "truth", *LABELS} - set(rows[0])
    if lacking:
        raise PredictionsError(f"{path}: the columns {', '.join(sorted(lacking))} are missing")
    people, truth, shares = [], [], []
    for line, row in enumerate(rows, start=2):
        try:
            people.append(row["person"])
            truth.append(LABELS.index(row["truth"]))
            shares.append([float(row[label]) for label in LABELS])
        except (TypeError, ValueError) as error:
            raise PredictionsError(f"{path}: line {line}: {error}") from None
        if not (min(shares[-1]) >= 0.0 and abs(sum(shares[-1]) - 1.0) <= 1e-3):
            raise PredictionsError(f"{path}: line {line}: six shares that sum to 1 are needed")
    return Labelled(people, np.array(truth), np.array(shares))


def refit(
    base: Mapping[str, Any],
    predictions: Labelled,
    modality: Modality,
    edge_version: str,
    version: str,
    source: Mapping[str, str],
    date: str,
) -> dict[str, Any]:
    """`base` with a table for one version of an edge model, under a new version and checksum."""
    stacker = parse_model(dict(base)).model.emotion
    if modality is Modality.VISION:
        prior, alone, matrix = stacker.vision, stacker.vision_only, stacker.vision_only.vision
    else:
        prior, alone, matrix = stacker.audio, stacker.audio_only, stacker.audio_only.audio
    assert matrix is not None
    rates = np.array(stacker.base_rates)
    evidence = fit_evidence(predictions.shares, predictions.truth, np.array(alone.bias), np.array(matrix), rates)
    table = {
        "origin": "fitted",
        "source": dict(source),
        "people": len(set(predictions.person)),
        "predictions": len(predictions.truth),
        "prior_strength": PRIOR_STRENGTH,
        "confusion": np.round(_confusion(predictions, prior), DECIMALS).tolist(),
        "evidence": np.round(evidence, DECIMALS).tolist(),
    }
    name = f"{modality.label}_versions"
    emotion = {**base["emotion"], name: {**base["emotion"].get(name, {}), edge_version: table}}
    document = {**base, "version": version, "date": date, "emotion": emotion}
    return {**document, "checksum": checksum_of(document)}


def _confusion(predictions: Labelled, modality: ModalityReliability) -> Floats:
    """Mean shares by what was the case; an emotion of which there is no moment keeps the modality's."""
    found = np.array(modality.confusion)
    for emotion in set(predictions.truth.tolist()):
        found[emotion] = predictions.shares[predictions.truth == emotion].mean(axis=0)
    return found


def fit_evidence(shares: Floats, truth: Integers, bias: Floats, weights: Floats, base_rates: Floats) -> Floats:
    """The matrix (6, 6) that turns what the version says into evidence, so that the stacker of this modality alone
    finds the truth: maximum a posteriori by Newton's method, with a ridge penalty around the unit matrix, the prior.

    Moments weigh as if their emotions came at the stacker's base rates: a test set's own rates are no finding.
    """
    counts = np.bincount(truth, minlength=EMOTIONS)
    weight = (base_rates * len(truth) / np.maximum(counts, 1))[truth]
    target = np.eye(EMOTIONS)[truth]
    evidence, step = np.eye(EMOTIONS), np.ones((EMOTIONS, EMOTIONS))
    while np.abs(step).max() > 1e-9:
        scores = bias + shares @ evidence @ weights
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        gradient = shares.T @ ((share - target) * weight[:, None]) @ weights.T
        gradient += PRIOR_STRENGTH * (evidence - np.eye(EMOTIONS))
        curvature = (share[:, :, None] * (np.eye(EMOTIONS) - share[:, None, :])) * weight[:, None, None]
        inner = weights @ curvature @ weights.T
        hessian = np.einsum("na,nb,nij->aibj", shares, shares, inner).reshape(EMOTIONS**2, EMOTIONS**2)
        hessian += PRIOR_STRENGTH * np.eye(EMOTIONS**2)
        step = np.linalg.solve(hessian, gradient.reshape(-1)).reshape(EMOTIONS, EMOTIONS)
        evidence = evidence - step
    return evidence
