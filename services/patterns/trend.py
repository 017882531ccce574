"""Where a series of session scores is heading."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import erf, sqrt
from statistics import fmean, median


@dataclass(frozen=True, slots=True)
class Trend:
    """`slope` by Theil-Sen, in score a session; `rise` is the slope over the whole series.
    `confidence` is 1 - p of the two-sided Mann-Kendall test, negative when the series falls, in [-1, 1].
    `variability` is the root mean square of successive differences."""

    sessions: int
    slope: float
    rise: float
    confidence: float
    variability: float


def trend_of(scores: Sequence[float]) -> Trend:
    """Of scores in [0, 1], oldest first. Fewer than three say nothing about a direction.

    The variance of Mann-Kendall's S is taken without its correction for ties: ties make the test more careful, and a
    higher newest score never lowers the confidence in a rise.
    """
    n = len(scores)
    variability = sqrt(fmean((after - before) ** 2 for before, after in pairwise(scores))) if n > 1 else 0.0
    if n < 3:
        return Trend(n, 0.0, 0.0, 0.0, variability)
    pairs = list(combinations(range(n), 2))
    slope = median((scores[j] - scores[i]) / (j - i) for i, j in pairs)
    s = sum((scores[j] > scores[i]) - (scores[j] < scores[i]) for i, j in pairs)
    z = (abs(s) - 1) / sqrt(n * (n - 1) * (2 * n + 5) / 18) if s else 0.0
    confidence = erf(z / sqrt(2))
    return Trend(n, slope, slope * (n - 1), confidence if s >= 0 else -confidence, variability)
