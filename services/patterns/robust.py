"""Statistics that a few odd sessions can't move."""

from collections.abc import Sequence
from statistics import median

# Makes the median absolute deviation estimate the standard deviation of a normal distribution.
MAD_SCALE = 1.4826
LARGEST_Z = 10.0


def scaled_mad(values: Sequence[float], centre: float) -> float:
    """Median absolute deviation from `centre`, times 1.4826; needs at least one value."""
    return MAD_SCALE * median(abs(value - centre) for value in values)


def robust_z(value: float, centre: float, spread: float) -> float:
    """(value - centre) / spread, clipped to [-10, 10]; `spread` is above 0."""
    return max(-LARGEST_Z, min(LARGEST_Z, (value - centre) / spread))
