"""Fits the emotion part of a fusion model on CREMA-D, and measures it on actors that the fit has not seen."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.science import crema_d
from bench.science.clip_events import BOTH, fused_emotions
from bench.science.crema_d import Clips, VotesError
from bench.science.figures import Bins, log_loss
from services.fusion.models import SHIPPED, read_document
from services.fusion.science.inputs import Floats, Integers
from services.fusion.science.model import FusionModel, checksum_of, parse_model
from services.fusion.vocabulary import KNOWN_EMOTIONS

# Ridge penalty on the weights, chosen by actor-grouped cross-validation among 0.3, 0.5, 1, 3 (all within 0.3% of
# another).
PENALTY = 0.5
FOLDS = 10
DECIMALS = 6
EMOTIONS = len(KNOWN_EMOTIONS)


@dataclass(frozen=True)
class HeldOut:
    """Some actors, and a model whose emotion part was fitted without them."""

    actors: frozenset[int]
    model: FusionModel


def leave_actors_out(clips: Clips, folds: int = FOLDS, base: Mapping[str, Any] | None = None) -> Iterator[HeldOut]:
    """Every actor is held out once. Folds are fixed by the order of the actors' numbers. VotesError for too few actors
    or clips to fit on.
    """
    document = base or read_document(SHIPPED)
    for held in _folds(clips, folds):
        seen = ~np.isin(clips.actor, list(held))
        yield HeldOut(held, _with_emotion(document, fit_emotion(document, clips.where(seen))))


def _folds(clips: Clips, folds: int) -> Sequence[frozenset[int]]:
    actors = sorted(set(clips.actor.tolist()))
    return [frozenset(actors[start::folds]) for start in range(min(folds, len(actors)))]


def _with_emotion(document: Mapping[str, Any], emotion: Mapping[str, Any]) -> FusionModel:
    changed = {**document, "emotion": emotion}
    return parse_model({**changed, "checksum": checksum_of(changed)}).model


def fit_emotion(base: Mapping[str, Any], clips: Clips) -> dict[str, Any]:
    """The emotion section of a model's document: `base`'s expert priors, everything else fitted on those `clips` that
    have votes on voice and face. VotesError when they lack an emotion.
    """
    clips = clips.where(clips.has_voice & clips.has_face)
    for given in (clips.intended, clips.voice.argmax(axis=1), clips.face.argmax(axis=1)):
        if len(np.unique(given)) < EMOTIONS:
            raise VotesError("a fit needs clips that intend, and raters who hear and see, each of the six emotions")
    emotion = dict(base["emotion"])
    emotion["figures"] = {}
    emotion["base_rates"] = _rounded(np.bincount(clips.intended, minlength=EMOTIONS) / len(clips))
    emotion["vision"] = _reliability(clips.face, clips.intended)
    emotion["audio"] = _reliability(clips.voice, clips.intended)
    emotion["vision_only"] = _weights(clips.intended, vision=clips.face)
    emotion["audio_only"] = _weights(clips.intended, audio=clips.voice)
    emotion["vision_and_audio"] = _weights(clips.intended, vision=clips.face, audio=clips.voice)
    return emotion


def refit(base: Mapping[str, Any], votes_path: Path, version: str, date: str) -> dict[str, Any]:
    """A whole document: fitted on every clip, with figures from actors left out."""
    clips = crema_d.load(votes_path)
    emotion = fit_emotion(base, clips)
    emotion["figures"] = {name: round(value, 4) for name, value in left_out_figures(clips, base=base).items()}
    document = {**base, "version": version, "date": date, "emotion": emotion}
    return {**document, "checksum": checksum_of(document)}


def left_out_figures(clips: Clips, folds: int = FOLDS, base: Mapping[str, Any] | None = None) -> dict[str, float]:
    """By the service's own fuse(), each actor by a model that has not seen the actor. Shares in [0, 1], NLL in nats."""
    by_modalities = {modalities: np.zeros((len(clips), EMOTIONS)) for modalities in (BOTH, BOTH[:1], BOTH[1:])}
    for held_out in leave_actors_out(clips, folds, base):
        rows = np.isin(clips.actor, list(held_out.actors))
        for modalities, probabilities in by_modalities.items():
            probabilities[rows] = fused_emotions(held_out.model, clips.where(rows), modalities)
    figures = emotion_figures(clips, by_modalities[BOTH])
    figures["face_only_accuracy"] = crema_d.hit_share(clips.intended, by_modalities[BOTH[:1]])
    figures["voice_only_accuracy"] = crema_d.hit_share(clips.intended, by_modalities[BOTH[1:]])
    return figures


def emotion_figures(clips: Clips, probabilities: Floats) -> dict[str, float]:
    """Fused emotions against the intention and the panel, beside what raters of face or voice alone find by
    plurality.
    """
    return {
        "intended_accuracy": crema_d.hit_share(clips.intended, probabilities),
        "panel_agreement": crema_d.panel_agreement(clips, probabilities),
        "nll": float(log_loss(clips.intended, probabilities).mean()),
        "ece": Bins.of(clips.intended, probabilities).error,
        "face_plurality_accuracy": crema_d.hit_share(clips.intended, clips.face),
        "voice_plurality_accuracy": crema_d.hit_share(clips.intended, clips.voice),
        "panel_plurality_accuracy": crema_d.hit_share(clips.intended, clips.panel),
    }


def _reliability(shares: Floats, intended: Integers) -> dict[str, Any]:
    leading = shares.argmax(axis=1)
    spread = np.zeros((EMOTIONS, EMOTIONS))
    for label in range(EMOTIONS):
        others = shares[leading == label].mean(axis=0)
        others[label] = 0.0
        spread[label] = others / others.sum()
    confusion = np.array([shares[intended == label].mean(axis=0) for label in range(EMOTIONS)])
    return {"typical": _rounded(shares.mean(axis=0)), "spread": _rounded(spread), "confusion": _rounded(confusion)}


def _weights(intended: Integers, **evidence: Floats) -> dict[str, Any]:
    bias, weights = fit_softmax(np.concatenate(list(evidence.values()), axis=1), intended)
    parts = np.split(weights, len(evidence))
    return {"bias": _rounded(bias), **{name: _rounded(part) for name, part in zip(evidence, parts, strict=True)}}


def fit_softmax(evidence: Floats, truth: Integers) -> tuple[Floats, Floats]:
    """Ridge-penalised multinomial logistic regression by Newton's method: bias (6,) and weights (features, 6)."""
    rows, features = evidence.shape
    x = np.concatenate([np.ones((rows, 1)), evidence], axis=1)
    target = np.eye(EMOTIONS)[truth]
    # The bias is all but free; without its small penalty the solution would be unique only up to a constant.
    penalty = np.full(features + 1, PENALTY)
    penalty[0] = 1e-6
    products = (x[:, :, None] * x[:, None, :]).reshape(rows, -1)
    size = EMOTIONS * (features + 1)
    weights = np.zeros((features + 1, EMOTIONS))
    step = np.ones_like(weights)
    while np.abs(step).max() > 1e-10:
        scores = x @ weights
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        gradient = x.T @ (share - target) + penalty[:, None] * weights
        curvature = share[:, :, None] * (np.eye(EMOTIONS) - share[:, None, :])
        blocks = curvature.reshape(rows, -1).T @ products
        hessian = blocks.reshape(EMOTIONS, EMOTIONS, features + 1, features + 1).transpose(0, 2, 1, 3)
        matrix = hessian.reshape(size, size) + np.diag(np.tile(penalty, EMOTIONS))
        step = np.linalg.solve(matrix, gradient.T.reshape(-1)).reshape(EMOTIONS, features + 1).T
        weights = weights - step
    return weights[0], weights[1:]


def _rounded(values: Floats) -> Any:
    return np.round(values, DECIMALS).tolist()
