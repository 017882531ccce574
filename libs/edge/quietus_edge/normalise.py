"""Scores as the suite keeps them: digest, feed, table and every replay hold the same number."""


def four_decimals(value: float) -> float:
    """Rounded half to even at four decimals; the double nearest to k / 10000."""
    return round(value * 10_000) / 10_000
