"""When to try again, and how soon."""

import random

import grpc

from quietus_edge.errors import reason_of

# The session or its data can never be taken; asking again would change nothing.
HOPELESS = frozenset({"SESSION_ENDED", "SESSION_EXPIRED", "SESSION_EXISTS", "SESSION_TIME_OUT_OF_BOUNDS"})


class Backoff:
    """Exponential with full jitter: a delay is uniform between zero and a limit that doubles.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    """

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first = first_seconds
        self._longest = longest_seconds
        self._limit = first_seconds

    def next_seconds(self) -> float:
        limit = self._limit
        self._limit = min(2 * limit, self._longest)
        return random.uniform(0, limit)  # noqa: S311  # spreads clients, guards nothing

    def reset(self) -> None:
        self._limit = self._first


def is_unreachable(error: grpc.RpcError) -> bool:
    """UNAVAILABLE, or no service's answer at all: the call's own deadline ran out, or its stream ended under it."""
    code, local = error.code(), not reason_of(error)
    return (
        code is grpc.StatusCode.UNAVAILABLE
        or (code is grpc.StatusCode.DEADLINE_EXCEEDED and local)
        # grpc.aio's own words for a message that was being written when the stream ended
        or (code is grpc.StatusCode.INTERNAL and local and str(error.details()).startswith("Internal error from Core"))
    )
