"""Fits the learned part of the valence of text on Lemotif, and measures it on writers that the fit has not seen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.science.lemotif import Entry, checksum, load
from quietus_edge.cues.lexicon import Lexicon
from quietus_edge.cues.sentiment import lexical_score
from quietus_edge.cues.words import words_of

Floats = NDArray[np.float64]

# Chosen by cross-validation over groups of writers, among 3 to 50 and 3 to 8 entries: between 3 and
# 12 all are within 0.2% of another, and the larger penalty leaves less to how diaries are written.
PENALTY = 12.0
ENTRIES_MIN = 8
LEXICAL_SCALE = 4.0
FOLDS = 10
DECIMALS = 4


def refit(path: Path, lexicon: Lexicon, date: str) -> dict[str, Any]:
    """The document of data/weights.json, fitted on every entry with a clear label."""
    entries = labelled(load(path))
    return {
        "source": "Lemotif, diary entries with their writers' own feelings",
        "licence": "MIT",
        "date": date,
        "fitted_on_sha256": checksum(path),
        "entries": len(entries),
        **fit(entries, lexicon),
    }


def labelled(entries: Sequence[Entry]) -> Sequence[Entry]:
    return [entry for entry in entries if entry.is_positive is not None]


def fit(
    entries: Sequence[Entry], lexicon: Lexicon, penalty: float = PENALTY, least: int = ENTRIES_MIN
) -> dict[str, Any]:
    """Log-odds of a word that is there, and of the score of the word list. The rate of good days is left out: a text
    that says nothing is neither good nor bad.
    """
    texts = [set(words_of(entry.text, lexicon.vocabulary).words) for entry in entries]
    counts = Counter(word for words in texts for word in words)
    words = sorted(word for word, count in counts.items() if count >= least and word.isalpha())
    columns = {word: column for column, word in enumerate(words)}
    x = np.zeros((len(entries), len(words) + 1))
    for row, (entry, present) in enumerate(zip(entries, texts, strict=True)):
        x[row, [columns[word] for word in present if word in columns]] = 1.0
        x[row, -1] = LEXICAL_SCALE * (lexical_score(words_of(entry.text, lexicon.vocabulary), lexicon) or 0.0)
    truth = np.array([entry.is_positive for entry in entries], np.float64)
    weights = _ridge(x, truth, penalty)
    kept = {word: round(float(weight), DECIMALS) for word, weight in zip(words, weights, strict=False)}
    return {
        "lexical": round(float(weights[-1]) * LEXICAL_SCALE, DECIMALS),
        "words": {word: weight for word, weight in kept.items() if weight},
    }


def _ridge(x: Floats, truth: Floats, penalty: float) -> Floats:
    """Logistic regression by Newton's method; the bias is fitted, not penalised, and left out."""
    rows = len(x)
    design = np.concatenate([x, np.ones((rows, 1))], axis=1)
    penalties = np.full(design.shape[1], penalty)
    penalties[-1] = 1e-6
    weights = np.zeros(design.shape[1])
    step = np.ones_like(weights)
    while np.abs(step).max() > 1e-9:
        share = 1.0 / (1.0 + np.exp(-design @ weights))
        gradient = design.T @ (share - truth) + penalties * weights
        hessian = (design.T * (share * (1.0 - share))) @ design + np.diag(penalties)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
    return np.asarray(weights[:-1], np.float64)


def folds(entries: Sequence[Entry], count: int = FOLDS) -> NDArray[np.int64]:
    """A fold for each entry; a writer's entries share one."""
    writers = {writer: place for place, writer in enumerate(dict.fromkeys(entry.writer for entry in entries))}
    return np.array([writers[entry.writer] % count for entry in entries], np.int64)


def written(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
