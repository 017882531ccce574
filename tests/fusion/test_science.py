"""What is claimed of the emotion stacker, measured on the real votes where they are at hand."""

from pathlib import Path

import numpy as np
import pytest

from bench.science import crema_d
from bench.science.clip_events import BOTH, fused_emotions
from bench.science.crema_d import Clips
from bench.science.emotion_fit import emotion_figures, fit_emotion, fit_softmax, leave_actors_out
from bench.science.model_file import written
from services.fusion.models import SHIPPED, path_of, read_document
from tests.fusion.make import MODEL

VOTES = Path(__file__).parents[3] / "shared" / "data" / "crema-d" / "votes.csv"
needs_votes = pytest.mark.skipif(
    not VOTES.is_file(), reason=f"CREMA-D IS ABSENT: the figures of {SHIPPED} are not checked (expected {VOTES})"
)


def test_the_shipped_file_is_written_by_the_fit_command() -> None:
    assert path_of(SHIPPED).read_text() == written(read_document(SHIPPED))


def test_the_fit_finds_known_weights() -> None:
    """Labels drawn from a softmax of known weights, with enough rows that the penalty fades."""
    rng = np.random.default_rng(7)
    weights = rng.normal(0, 2, (3, 6))
    evidence = rng.normal(0, 1, (40_000, 3))
    scores = evidence @ weights
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    truth = (shares.cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    _, found = fit_softmax(evidence, truth)
    np.testing.assert_allclose(
        found - found.mean(axis=1, keepdims=True), weights - weights.mean(axis=1, keepdims=True), atol=0.15
    )


def test_figures_share_the_credit_of_ties() -> None:
    assert crema_d.hit_share(np.array([0, 1]), np.array([[0.5, 0.5, 0, 0, 0, 0], [0, 1.0, 0, 0, 0, 0]])) == 0.75


@pytest.fixture(scope="module")
def clips() -> Clips:
    return crema_d.load(VOTES)


@needs_votes
def test_the_shipped_weights_are_those_that_the_data_gives(clips: Clips) -> None:
    shipped = read_document(SHIPPED)
    again = fit_emotion(shipped, clips)
    for section in ("vision", "audio", "vision_only", "audio_only", "vision_and_audio"):
        for part, values in shipped["emotion"][section].items():
            np.testing.assert_allclose(again[section][part], values, atol=2e-6)


@needs_votes
def test_actors_that_the_fit_has_not_seen(clips: Clips) -> None:
    """Five folds here; the shipped figures are of ten."""
    probabilities = np.zeros((len(clips), 6))
    seen: set[int] = set()
    for held_out in leave_actors_out(clips, folds=5):
        rows = np.isin(clips.actor, list(held_out.actors))
        probabilities[rows] = fused_emotions(held_out.model, clips.where(rows))
        assert not seen & held_out.actors
        seen |= held_out.actors
    assert seen == set(clips.actor.tolist())
    figures = emotion_figures(clips, probabilities)
    assert figures["intended_accuracy"] >= 0.765
    assert figures["panel_agreement"] >= 0.755
    assert figures["nll"] <= 0.62
    assert figures["ece"] <= 0.02
    assert figures["intended_accuracy"] > figures["panel_plurality_accuracy"] > figures["face_plurality_accuracy"]


@needs_votes
def test_one_modality_is_at_least_as_good_as_its_own_plurality(clips: Clips) -> None:
    for modality, shares in zip(BOTH, (clips.face, clips.voice), strict=True):
        alone = fused_emotions(MODEL, clips, (modality,))
        assert crema_d.hit_share(clips.intended, alone) >= crema_d.hit_share(clips.intended, shares)


@needs_votes
def test_fusing_beats_an_equal_weight_mean(clips: Clips) -> None:
    mean = crema_d.hit_share(clips.intended, (clips.face + clips.voice) / 2)
    assert crema_d.hit_share(clips.intended, fused_emotions(MODEL, clips)) > mean + 0.05
