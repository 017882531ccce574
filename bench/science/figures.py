"""Figures of fused clips, each with an interval: what would have come out with other actors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.fusion.science.inputs import Booleans, Floats, Integers

RESAMPLES = 2000
SEED = 2014
BINS = 10
CENTRAL = (2.5, 97.5)
SMALLEST = 1e-12


@dataclass(frozen=True)
class Figure:
    """A value with its 95% interval."""

    value: float
    low: float
    high: float


class Resampled:
    """Actors drawn with replacement, again and again, with a fixed seed: clips of one actor are no independent
    evidence, so actors are what is drawn.
    """

    def __init__(self, actor: Integers) -> None:
        self._actors, self._index = np.unique(actor, return_inverse=True)
        n = len(self._actors)
        rng = np.random.default_rng(SEED)
        self._weights = rng.multinomial(n, np.full(n, 1.0 / n), RESAMPLES).astype(np.float64)

    def by_actor(self, values: Floats, rows: Booleans | None = None) -> Floats:
        """Sums (actors,) of `values` (n,)."""
        kept = np.ones(len(values), np.bool_) if rows is None else rows
        return np.bincount(self._index[kept], values[kept], minlength=len(self._actors)).astype(np.float64)

    def mean(self, values: Floats, rows: Booleans | None = None) -> Figure | None:
        """Of `values` (n,) in `rows`; None when there is none."""
        sums, counts = self.by_actor(values, rows), self.by_actor(np.ones(len(values)), rows)
        if not counts.any():
            return None
        drawn = self._weights @ counts
        means = (self._weights @ sums)[drawn > 0] / drawn[drawn > 0]
        return _figure(float(sums.sum() / counts.sum()), means)

    def calibration_error(self, bins: "Bins") -> Figure:
        stated, right, clips = (
            self._drawn(values, bins) for values in (bins.stated, bins.right, np.ones(len(bins.bin)))
        )
        errors = np.abs(right - stated).sum(axis=1) / clips.sum(axis=1)
        return _figure(bins.error, errors)

    def _drawn(self, values: Floats, bins: "Bins") -> Floats:
        """(resamples, bins): sums of `values` in each bin."""
        by_bin = np.stack([self.by_actor(values, bins.bin == number) for number in range(BINS)], axis=1)
        drawn: Floats = self._weights @ by_bin
        return drawn


def _figure(value: float, drawn: Floats) -> Figure:
    low, high = np.percentile(drawn, CENTRAL)
    return Figure(value, float(low), float(high))


@dataclass(frozen=True)
class Bins:
    """The likeliest emotion of n clips: how probable it is said to be, whether it is right, and its bin."""

    stated: Floats
    right: Floats
    bin: Integers

    @classmethod
    def of(cls, intended: Integers, probabilities: Floats) -> "Bins":
        stated = probabilities.max(axis=1)
        right = (probabilities.argmax(axis=1) == intended).astype(np.float64)
        return cls(stated, right, np.minimum((stated * BINS).astype(np.int64), BINS - 1))

    def rows(self) -> Sequence[Mapping[str, float]]:
        """Those that hold clips."""
        counts = np.bincount(self.bin, minlength=BINS)
        return [
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "clips": int(counts[number]),
                "stated": float(self.stated[self.bin == number].mean()),
                "right": float(self.right[self.bin == number].mean()),
            }
            for number in range(BINS)
            if counts[number]
        ]

    @property
    def error(self) -> float:
        """Expected calibration error: mean gap between the stated probability and how often it is right, over bins of
        equal width, weighted by their clips.
        """
        gaps = np.bincount(self.bin, self.right - self.stated, minlength=BINS)
        return float(np.abs(gaps).sum() / len(self.bin))

    def error_if_calibrated(self) -> Floats:
        """(resamples,): the same error if the stated probabilities are true: what chance alone gives."""
        rng = np.random.default_rng(SEED)
        errors = np.zeros(RESAMPLES)
        for number in range(RESAMPLES):
            right = rng.random(len(self.stated)) < self.stated
            errors[number] = Bins(self.stated, right.astype(np.float64), self.bin).error
        return errors


def log_loss(intended: Integers, probabilities: Floats) -> Floats:
    """(n,), in nats."""
    losses: Floats = -np.log(np.maximum(probabilities[np.arange(len(intended)), intended], SMALLEST))
    return losses


def brier(intended: Integers, probabilities: Floats) -> Floats:
    """(n,): squared distance from the truth over the six emotions, [0, 2]."""
    truth = np.eye(probabilities.shape[1])[intended]
    distances: Floats = ((probabilities - truth) ** 2).sum(axis=1)
    return distances


def confusion(intended: Integers, probabilities: Floats) -> list[list[int]]:
    """Clips; row: intended, column: the likeliest."""
    n = probabilities.shape[1]
    counts = np.bincount(intended * n + probabilities.argmax(axis=1), minlength=n * n)
    table: list[list[int]] = counts.reshape(n, n).tolist()
    return table
