"""A version of an edge model is read as its modality in general until its own predictions were looked at."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from bench.science.reliability_fit import Labelled, PredictionsError, fit_evidence, load, refit
from libs.common.db.database import Database
from services.fusion.fold import Models
from services.fusion.models import SHIPPED, read_document
from services.fusion.science.fuse import fuse_chunks
from services.fusion.science.inputs import ChunkInputs, Floats, InputArrays, Shown
from services.fusion.science.model import FusionModel, parse_model
from services.fusion.science.reliability import evidence
from services.fusion.vocabulary import KNOWN_EMOTIONS, Emotion, Modality
from tests.fusion import make
from tests.fusion.events import apply, committed, table
from tests.fusion.make import MODEL, batch, chunk, predictions, shown

VERSION = "mixes-up-1"
SOURCE = {"data": "made up", "citation": "nobody", "license": "Apache-2.0", "command": "a test"}
# This version says sad where others say fear, and fear where others say sad.
MIXED_UP = [0, 1, 4, 3, 2, 5]
ALONE = MODEL.emotion.vision_only


def labelled(count: int, seed: int) -> Labelled:
    """What raters would have said of the face, drawn from their votes, with two labels mixed up."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(KNOWN_EMOTIONS), count)
    rates = np.array(MODEL.emotion.vision.confusion)[truth]
    shares = np.array([rng.multinomial(10, rate / rate.sum()) for rate in rates]) / 10
    return Labelled([f"person {number % 30}" for number in range(count)], truth, shares[:, MIXED_UP])


@cache
def knowing() -> FusionModel:
    """A model with a table for the version, and for no other."""
    known = labelled(2000, seed=1)
    base = read_document(SHIPPED)
    return parse_model(refit(base, known, Modality.VISION, VERSION, "fusion-t", SOURCE, "2026-01-01")).model


def said_by(version: str, shares: Floats) -> Shown:
    distribution = np.zeros(len(Emotion))
    for emotion, share in zip(KNOWN_EMOTIONS, shares, strict=True):
        distribution[emotion - 1] = share
    one = shown(KNOWN_EMOTIONS[int(shares.argmax())], distribution=tuple(distribution.tolist()))
    return Shown(one.emotion, one.probability, one.confidence, one.distribution, version)


def found(model: FusionModel, version: str, some: Labelled) -> float:
    chunks = [chunk(vision=said_by(version, shares)) for shares in some.shares]
    emotions = np.array([one.emotions for one in fuse_chunks(model, InputArrays.of(chunks))])
    return float((emotions.argmax(axis=1) == some.truth).mean())


@given(make.any_chunk())
def test_an_unknown_version_is_read_as_its_modality_and_says_so(one: ChunkInputs) -> None:
    fused = [fuse_chunks(model, InputArrays.of([one]))[0] for model in (MODEL, knowing())]
    assert repr(fused[0]) == repr(fused[1])
    assert not any(part.fitted for part in fused[0].contributions)


def test_a_version_that_is_known_is_understood() -> None:
    model, others = knowing(), labelled(2000, seed=2)
    as_prior, as_meant = found(model, "another-1", others), found(model, VERSION, others)
    assert as_meant > as_prior + 0.1
    straight = replace(others, shares=others.shares[:, MIXED_UP])
    assert as_meant == pytest.approx(found(MODEL, "another-1", straight), abs=0.02)


def test_only_the_version_that_is_known_says_that_it_is_fitted() -> None:
    face = said_by(VERSION, np.array([0.1, 0.0, 0.8, 0.0, 0.1, 0.0]))
    fused = fuse_chunks(knowing(), InputArrays.of([chunk(vision=face, audio=face, text=make.said())]))[0]
    assert [part.fitted for part in fused.contributions] == [True, False, False]


def test_few_predictions_leave_the_prior_nearly_as_it_is() -> None:
    few = labelled(6, seed=3)
    weights, rates = np.array(ALONE.vision), np.array(MODEL.emotion.base_rates)
    evidence = fit_evidence(few.shares, few.truth, np.array(ALONE.bias), weights, rates)
    assert np.abs(evidence - np.eye(6)).max() < 0.25
    nothing = fit_evidence(few.shares[:0], few.truth[:0], np.array(ALONE.bias), weights, rates)
    np.testing.assert_array_equal(nothing, np.eye(6))


def test_the_bits_of_a_chunk_dont_depend_on_others_of_other_versions() -> None:
    faces = [
        said_by(VERSION if number % 2 else "other", row) for number, row in enumerate(labelled(200, seed=4).shares)
    ]
    chunks = [chunk(number, vision=face) for number, face in enumerate(faces)]
    together = fuse_chunks(knowing(), InputArrays.of(chunks))
    assert [repr(one) for one in together] == [repr(fuse_chunks(knowing(), InputArrays.of([one]))[0]) for one in chunks]


async def test_a_row_says_whose_reliability_it_used(database: Database) -> None:
    model = knowing()
    face = said_by(VERSION, np.array([0.1, 0.0, 0.8, 0.0, 0.1, 0.0]))
    one, other = chunk(0, vision=face, audio=shown()), chunk(1, audio=shown())
    event = committed(batch(1, *predictions(one), *predictions(other)))
    await apply(database, Models({model.version: model}, model), [event])
    rows = sorted(await table(database, "fusion_results"), key=lambda row: row["capture_end_time"])
    assert [(row["vision_fitted"], row["audio_fitted"]) for row in rows] == [(True, False), (None, False)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("person,truth\n", "no prediction"),
        ("person,truth\np,sad\n", "neutral"),
        ("person,truth,neutral,happy,sad,angry,fear,disgust\np,blue,1,0,0,0,0,0\n", "line 2"),
        ("person,truth,neutral,happy,sad,angry,fear,disgust\np,sad,1,1,0,0,0,0\n", "sum to 1"),
        ("person,truth,neutral,happy,sad,angry,fear,disgust\np,sad,nan,1,0,0,0,0\n", "sum to 1"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(content: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(content)
    with pytest.raises(PredictionsError, match=reason):
        load(path)


def test_surprise_speaks_for_none_of_the_six_however_much_it_is_trusted() -> None:
    model = replace(MODEL.emotion, trust={**MODEL.emotion.trust, Emotion.SURPRISE.label: 1.0})
    surprise = np.zeros((2, len(Emotion)))
    surprise[1, Emotion.SURPRISE - 1] = 1.0  # the first is a label alone
    labels, sure, versions = np.full(2, int(Emotion.SURPRISE)), np.ones(2), np.array(["", ""], np.object_)
    stated, trusted = evidence(model, model.vision, {}, labels, sure, surprise, versions)
    assert trusted.tolist() == [0.0, 0.0]
    assert (stated == np.array(model.vision.typical)).all()
