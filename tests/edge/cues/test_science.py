"""The figures of docs/science/cues.md, where the data is."""

from pathlib import Path

import numpy as np
import pytest

from bench.science import cssrs, lemotif, valence_fit
from bench.science import cues as bench
from quietus_edge.cues import lexicon
from quietus_edge.cues.lexicon import shipped_weights

DATA = Path(__file__).parents[4] / "shared" / "data"
LEMOTIF, CSSRS = DATA / "lemotif" / "entries.csv", DATA / "cssrs" / "users.csv"

with_lemotif = pytest.mark.skipif(not LEMOTIF.is_file(), reason=f"no Lemotif at {LEMOTIF}: valence is not measured")
with_cssrs = pytest.mark.skipif(not CSSRS.is_file(), reason=f"no C-SSRS posts at {CSSRS}: the screen is not measured")


@with_lemotif
def test_valence_is_at_least_as_good_as_vader_on_writers_that_it_has_not_seen() -> None:
    found = bench.figures(LEMOTIF)
    assert found["weights"] == "cross-fitted by writer"
    assert found["valence"]["auc"] >= max(0.925, found["vader"]["auc"])
    assert found["valence"]["balanced_accuracy"] >= found["vader"]["balanced_accuracy"]


@with_lemotif
def test_no_writer_is_both_fitted_and_scored() -> None:
    entries = lemotif.load(LEMOTIF)
    fold_of = valence_fit.folds(entries)
    for writer in {entry.writer for entry in entries}:
        assert len({int(fold) for entry, fold in zip(entries, fold_of, strict=True) if entry.writer == writer}) == 1
    assert np.bincount(fold_of).min() > 50


@with_lemotif
def test_the_shipped_weights_are_what_the_fit_gives() -> None:
    shipped = shipped_weights()
    assert valence_fit.refit(LEMOTIF, lexicon(), shipped["date"]) == shipped


@with_cssrs
def test_the_screen_finds_people_at_risk() -> None:
    found = cssrs.figures(CSSRS)
    assert found["recall_at_risk"] >= 0.8
    assert found["critical_recall_at_risk"] >= 0.7
    assert found["critical_recall_at_risk"] > found["critical_false_alarms_supportive"] + 0.2
