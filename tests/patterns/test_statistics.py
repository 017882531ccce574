from math import isclose, sqrt
from statistics import stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.patterns.robust import robust_z, scaled_mad
from services.patterns.trend import trend_of

scores = st.floats(0, 1)
series = st.lists(scores, min_size=1, max_size=12)


def test_mad_estimates_the_standard_deviation_and_ignores_an_outlier() -> None:
    values = [10.0, 11, 9, 10.5, 9.5, 10, 1000]
    assert scaled_mad(values, 10.0) == pytest.approx(1.4826 * 0.5)
    assert scaled_mad(values, 10.0) < stdev(values) / 100


@given(values=series, centre=scores, shift=st.floats(-100, 100))
def test_mad_is_never_negative_and_moves_with_the_values(values: list[float], centre: float, shift: float) -> None:
    mad = scaled_mad(values, centre)
    assert mad >= 0
    assert isclose(scaled_mad([value + shift for value in values], centre + shift), mad, abs_tol=1e-9)


@given(value=st.floats(-1e6, 1e6), centre=st.floats(-1e6, 1e6), spread=st.floats(1e-3, 1e3))
def test_robust_z_is_clipped(value: float, centre: float, spread: float) -> None:
    assert -10 <= robust_z(value, centre, spread) <= 10


def test_trend_of_a_line_is_its_slope_with_certainty() -> None:
    trend = trend_of([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert trend.slope == pytest.approx(0.1)
    assert trend.rise == pytest.approx(0.5)
    assert trend.confidence > 0.98
    assert trend.variability == pytest.approx(0.1)


def test_trend_of_a_constant_says_nothing() -> None:
    trend = trend_of([0.3] * 10)
    assert (trend.slope, trend.confidence, trend.variability) == (0.0, 0.0, 0.0)


def test_mann_kendall_agrees_with_its_published_form() -> None:
    # n = 5, all rising: S = 10, Var(S) = 5 * 4 * 15 / 18, Z = 9 / sqrt(Var).
    assert 9 / sqrt(5 * 4 * 15 / 18) == pytest.approx(2.2045, abs=1e-4)
    assert trend_of([1, 2, 3, 4, 5]).confidence == pytest.approx(1 - 0.02749, abs=1e-4)


@given(values=series)
def test_a_mirrored_series_has_the_opposite_trend(values: list[float]) -> None:
    trend, mirrored = trend_of(values), trend_of([-value for value in values])
    assert mirrored.slope == -trend.slope
    assert mirrored.confidence == -trend.confidence
    assert mirrored.variability == trend.variability


@given(before=st.lists(scores, max_size=11), last=scores, raise_by=scores)
def test_a_higher_newest_score_never_lowers_a_trend(before: list[float], last: float, raise_by: float) -> None:
    low, high = trend_of([*before, last]), trend_of([*before, last + raise_by])
    assert high.slope >= low.slope
    assert high.confidence >= low.confidence
