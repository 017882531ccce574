"""How well the extractor finds the mood and the topics of diaries, beside VADER, on writers that it has not seen."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from bench.report import machine
from bench.science import lemotif, valence_fit
from bench.science.lemotif import Entry
from quietus_edge.cues import extract, lexicon
from quietus_edge.cues.lexicon import Lexicon, shipped_weights

Floats = NDArray[np.float64]
Truth = NDArray[np.bool_]

RESAMPLES, SEED = 2_000, 7
SPEED_ROUNDS, SPEED_SENTENCES = 9, 400
# What Lemotif calls a topic, as the extractor calls it.
TOPICS = {
    "exercise": "exercise",
    "family": "family",
    "food": "food",
    "friends": "friends",
    "god": "faith",
    "health": "health",
    "love": "relationship",
    "recreation": "recreation",
    "school": "school",
    "sleep": "sleep",
    "work": "work",
}


def figures(path: Path) -> Mapping[str, Any]:
    """On the file that the shipped weights were fitted on, each writer is scored by weights fitted without them;
    on another, the shipped weights are scored as they are.
    """
    everything = lemotif.load(path)
    entries = valence_fit.labelled(everything)
    truth = np.array([entry.is_positive for entry in entries])
    is_fitted_on = lemotif.checksum(path) == shipped_weights()["fitted_on_sha256"]
    ours = _cross_fitted(entries) if is_fitted_on else _scores(entries, lexicon())
    vader = _vader()
    theirs = np.array([vader(entry.text) for entry in entries])
    return {
        "extractor_version": lexicon().version,
        "weights": "cross-fitted by writer" if is_fitted_on else "shipped",
        "entries": len(entries),
        "entries_left_out_mixed_or_neither": len(everything) - len(entries),
        "positive": int(truth.sum()),
        "writers_guessed": len({entry.writer for entry in entries}),
        "valence": _judged(truth, ours),
        "vader": _judged(truth, theirs),
        "auc_difference": _interval(
            entries, truth, lambda rows: _auc(truth[rows], ours[rows]) - _auc(truth[rows], theirs[rows])
        ),
        "auc": _interval(entries, truth, lambda rows: _auc(truth[rows], ours[rows])),
        "vader_auc": _interval(entries, truth, lambda rows: _auc(truth[rows], theirs[rows])),
        "topics": _topics(everything),
        "speed": _speed([entry.text for entry in everything]),
        "machine": machine(),
    }


def _vader() -> Callable[[str], float]:
    analyzer = SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(text)["compound"])


def _cross_fitted(entries: Sequence[Entry]) -> Floats:
    scores = np.zeros(len(entries))
    fold_of = valence_fit.folds(entries)
    for fold in range(valence_fit.FOLDS):
        seen = [entry for entry, of in zip(entries, fold_of, strict=True) if of != fold]
        fitted = valence_fit.fit(seen, lexicon())
        sentiment = replace(lexicon().sentiment, lexical_weight=fitted["lexical"], weights=fitted["words"])
        held = np.flatnonzero(fold_of == fold)
        scores[held] = _scores([entries[row] for row in held.tolist()], replace(lexicon(), sentiment=sentiment))
    return scores


def _scores(entries: Sequence[Entry], using: Lexicon) -> Floats:
    return np.array([extract(entry.text, using).valence or 0.0 for entry in entries])


def _judged(truth: Truth, scores: Floats) -> Mapping[str, float]:
    """Above 0 is positive. Balanced: the mean of the hits among good and among bad days."""
    positive = scores > 0.0
    return {
        "auc": round(_auc(truth, scores), 4),
        "accuracy": round(float((positive == truth).mean()), 4),
        "balanced_accuracy": round(float((positive[truth].mean() + (~positive[~truth]).mean()) / 2), 4),
    }


def _auc(truth: Truth, scores: Floats) -> float:
    """The chance that a good day scores above a bad one; ties count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    good, bad = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - good * (good + 1) / 2) / (good * bad))


def _interval(entries: Sequence[Entry], truth: Truth, of: Callable[[NDArray[np.int64]], float]) -> Mapping[str, float]:
    """95% by resampling writers."""
    rng = np.random.default_rng(SEED)
    by_writer: dict[int, list[int]] = {}
    for row, entry in enumerate(entries):
        by_writer.setdefault(entry.writer, []).append(row)
    groups = [np.array(rows) for rows in by_writer.values()]
    found: list[float] = []
    while len(found) < RESAMPLES:
        rows = np.concatenate([groups[place] for place in rng.integers(len(groups), size=len(groups))])
        if 0 < truth[rows].sum() < len(rows):
            found.append(of(rows))
    low, high = np.quantile(found, (0.025, 0.975))
    return {"value": round(of(np.arange(len(entries))), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def _topics(entries: Sequence[Entry]) -> Mapping[str, Mapping[str, float]]:
    """The writers' own topics; lists of words that were not fitted to them."""
    found = [frozenset(extract(entry.text).cues.topics) for entry in entries]
    return {
        ours: _precision_and_recall([theirs in entry.topics for entry in entries], [ours in names for names in found])
        for theirs, ours in TOPICS.items()
    }


def _precision_and_recall(truth: Sequence[bool], found: Sequence[bool]) -> Mapping[str, float]:
    both = sum(is_there and is_found for is_there, is_found in zip(truth, found, strict=True))
    return {
        "entries": sum(truth),
        "precision": round(both / max(1, sum(found)), 3),
        "recall": round(both / max(1, sum(truth)), 3),
    }


def _speed(texts: Sequence[str]) -> Mapping[str, float]:
    """By the same sentences, in turns; the median of the rounds. The whole extractor against VADER's score alone."""
    sentences = [part.strip() for text in texts for part in text.split(".") if len(part.split()) > 2]
    sentences = sentences[:SPEED_SENTENCES]
    vader = _vader()
    ours, theirs = [], []
    for _ in range(SPEED_ROUNDS):
        ours.append(_milliseconds_each(extract, sentences))
        theirs.append(_milliseconds_each(vader, sentences))
    return {
        "sentences": len(sentences),
        "sentence_ms": round(median(ours), 4),
        "vader_sentence_ms": round(median(theirs), 4),
        "ratio_to_vader": round(median(ours) / median(theirs), 3),
    }


def _milliseconds_each(call: Callable[[str], object], sentences: Sequence[str]) -> float:
    start = time.perf_counter()
    for sentence in sentences:
        call(sentence)
    return (time.perf_counter() - start) * 1000 / len(sentences)
