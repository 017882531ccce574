"""How risk is assessed: every weight and threshold, from a versioned file."""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from services.patterns.levels import Level

METHOD_FILE = Path(__file__).parent / "data" / "assessment-1.json"

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Adverse(StrEnum):
    """Which way a feature moves when things get worse."""

    UP = "up"
    DOWN = "down"
    BOTH = "both"

    def part(self, z: float) -> float:
        """The part of a robust z that counts as worse; negative when it moved the other way."""
        match self:
            case Adverse.UP:
                return z
            case Adverse.DOWN:
                return -z
            case Adverse.BOTH:
                return abs(z)


class FeatureMethod(_Part):
    """`smallest_spread`, in the feature's unit, keeps a very even person from deviating by nothing."""

    adverse: Adverse
    smallest_spread: Positive


class BaselineMethod(_Part):
    window_sessions: Count
    minimum_calm_sessions: Count


class DissonanceMethod(_Part):
    """`evidence_chunks` is how many congruent chunks are assumed before any was heard."""

    weight: Positive
    evidence_chunks: Count


class DeviationMethod(_Part):
    """Robust z up to `expected_z` is nobody's business; beyond it the mean of the `leading_features` largest counts."""

    expected_z: Positive
    leading_features: Count
    weight: Positive
    most: Positive


class TrendMethod(_Part):
    """A rise of the session score counts from `confidence_from` on, and in full from `confidence_full` on."""

    window_sessions: Count
    minimum_sessions: Annotated[int, Field(ge=3)]
    confidence_from: Probability
    confidence_full: Probability
    weight: Positive
    most: Positive
    declining_confidence: Probability
    declining_rise: Positive
    volatile_variability: Positive


class LevelMethod(_Part):
    """Lowest scores of the levels above low."""

    medium: Probability
    high: Probability
    critical: Probability

    def level(self, score: float) -> Level:
        if score >= self.critical:
            return Level.CRITICAL
        if score >= self.high:
            return Level.HIGH
        return Level.MEDIUM if score >= self.medium else Level.LOW


class TellingMethod(_Part):
    """What makes an assessment worth replacing, and a contribution worth naming."""

    score_change: Positive
    smallest_factor: Positive


class PatternMethod(_Part):
    """`distressed_score` is the chunk score from which its topics count as triggers."""

    distressed_score: Probability
    half_confident_sessions: Count
    primary_emotion_share: Probability
    code_switching_share: Probability


class Method(_Part):
    """All figures are expert priors: no data set at hand fits them. `source` says so in the file itself."""

    version: str
    source: str
    features: dict[str, FeatureMethod]
    baseline: BaselineMethod
    dissonance: DissonanceMethod
    deviation: DeviationMethod
    trend: TrendMethod
    levels: LevelMethod
    telling: TellingMethod
    pattern: PatternMethod


@cache
def current_method() -> Method:
    return Method.model_validate_json(METHOD_FILE.read_bytes())
