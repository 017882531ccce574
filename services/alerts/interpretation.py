"""What an alert means, in neutral words made from reason codes alone."""

from collections.abc import Sequence

from services.alerts.risk import Level

OPENINGS = {
    Level.HIGH: "High risk: a counselor should look soon.",
    Level.CRITICAL: "Critical risk: act now.",
}
MOST_FACTORS = 3


def interpret(level: Level, factors: Sequence[str], delayed: bool) -> str:
    """One or two sentences. Holds nothing that a person said."""
    parts = [OPENINGS[level]]
    if factors:
        reasons = ", ".join(factor.replace("_", " ").lower() for factor in factors[:MOST_FACTORS])
        parts.append(f"Leading signals: {reasons}.")
    if delayed:
        parts.append("It was captured long before it was received.")
    return " ".join(parts)
