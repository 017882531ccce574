"""The limits of a client. The defaults suit a phone."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Sizes and waits of one client.

    `max_spool_bytes` bounds the content of the spool; SQLite's log adds a few MiB at most. When it is full, the oldest
    records that point to no danger are dropped to make room; when there are none, record() raises SpoolFullError.
    """

    max_spool_bytes: int = 256 * 1024 * 1024
    max_batch_predictions: int = 32
    linger_seconds: float = 0.005
    first_retry_seconds: float = 0.2
    longest_retry_seconds: float = 15.0
    problem_pause_seconds: float = 60.0
    stream_idle_seconds: float = 30.0
    heartbeat_seconds: float = 10.0
    stream_close_seconds: float = 30.0
    call_timeout_seconds: float = 10.0
    key_wait_seconds: float = 5.0
    key_retry_seconds: float = 300.0
