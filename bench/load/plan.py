"""What a load generator is told."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Plan:
    """`sessions` are pairs of a session's id and a token, one for each stream or connection.

    `window` is the most batches in flight on each; `predictions_per_second` 0 asks for saturation.
    """

    host: str
    port: int
    sessions: list[tuple[str, str]] = field(repr=False)
    batch_size: int
    window: int
    warm_up_seconds: float
    seconds: float
    predictions_per_second: float = 0.0
