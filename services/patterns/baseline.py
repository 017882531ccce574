"""A person's own normal, and how far a session is from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from services.patterns.method import Method
from services.patterns.robust import robust_z, scaled_mad
from services.patterns.session import Session


@dataclass(frozen=True, slots=True)
class Baseline:
    """`sessions`: calm sessions that it rests on. Before it is established nothing is judged by it.
    `update_time`: capture time of the newest chunk that went in."""

    feature: str
    median: float
    scaled_mad: float
    sessions: int
    established: bool
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Deviation:
    """`robust_z` in [-10, 10]; `median` and `scaled_mad` are the baseline's."""

    feature: str
    value: float
    median: float
    scaled_mad: float
    robust_z: float

    @property
    def order(self) -> tuple[float, str]:
        """Largest first; ties by name."""
        return -abs(self.robust_z), self.feature


@dataclass(frozen=True, slots=True)
class Normal:
    """Baselines by feature. `established`: enough calm sessions were seen; until then it is a warm-up."""

    baselines: Mapping[str, Baseline]
    calm_sessions: int
    established: bool


def normal_of(before: Sequence[Session], method: Method) -> Normal:
    """The normal that the sessions in `before`, oldest first, teach: the calm ones among the newest of the window."""
    calm = [session for session in before[-method.baseline.window_sessions :] if session.calm]
    baselines = {name: _baseline(name, calm, method) for name in method.features}
    return Normal(
        baselines={name: baseline for name, baseline in baselines.items() if baseline is not None},
        calm_sessions=len(calm),
        established=len(calm) >= method.baseline.minimum_calm_sessions,
    )


def _baseline(feature: str, calm: Sequence[Session], method: Method) -> Baseline | None:
    having = [session for session in calm if feature in session.summary.features]
    if not having:
        return None
    values = [session.summary.features[feature] for session in having]
    centre = median(values)
    return Baseline(
        feature=feature,
        median=centre,
        scaled_mad=scaled_mad(values, centre),
        sessions=len(values),
        established=len(values) >= method.baseline.minimum_calm_sessions,
        update_time=max(session.newest_capture_time for session in having),
    )


def deviations_of(session: Session, normal: Normal, method: Method) -> tuple[Deviation, ...]:
    """How far each feature is from an established baseline, largest first."""
    found = []
    for name, value in session.summary.features.items():
        baseline = normal.baselines.get(name)
        if baseline is None or not baseline.established:
            continue
        spread = max(baseline.scaled_mad, method.features[name].smallest_spread)
        z = robust_z(value, baseline.median, spread)
        found.append(Deviation(name, value, baseline.median, baseline.scaled_mad, z))
    return tuple(sorted(found, key=lambda deviation: deviation.order))
