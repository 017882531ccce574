"""Forgets what every follower has applied and retention no longer asks for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock, utc_now
from libs.common.db.database import Database, Transaction
from libs.common.feed.store import read_state
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError

_BATCHES_PER_TRANSACTION: Final = 500
_INTERVAL_SECONDS: Final = 600.0

_OLDEST = """
SELECT position, commit_time FROM outbox WHERE partition = :partition ORDER BY position LIMIT :limit
"""
_DELETE = "DELETE FROM outbox WHERE partition = :partition AND position <= :through"
_MARK = """
UPDATE feed_head SET pruned_position = GREATEST(pruned_position, :through) WHERE partition = :partition
"""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Retention:
    """days: kept at least, and until every follower has passed. max_days: kept at most, whoever still needs it."""

    days: float = 7
    max_days: float = 30


def prunable_through(
    oldest: Sequence[tuple[int, datetime]], followers: Mapping[str, int], retention: Retention, now: datetime
) -> int | None:
    """The newest position that may go of the oldest (position, commit_time), by followers' positions; None for none."""
    passed_by_all = min(followers.values(), default=None)
    through = None
    for position, commit_time in oldest:
        age = now - commit_time
        applied = passed_by_all is None or position <= passed_by_all
        if age < timedelta(days=retention.days if applied else retention.max_days):
            break
        through = position
    return through


class Pruner:
    def __init__(
        self, database: Database, metrics: Metrics, retention: Retention = Retention(), clock: Clock = utc_now
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._retention = retention
        self._clock = clock

    async def run(self) -> None:
        while True:
            try:
                await self.prune()
            except AppError as error:
                _log.warning("feed not pruned", reason=error.reason)
            await pause(_INTERVAL_SECONDS)

    async def prune(self) -> int:
        """Deletes what may go, in small transactions; returns how many batches that were.

        A follower that was left behind degrades health until it has been rebuilt or its row in feed_followers is gone.
        """
        async with self._database.read() as tx:
            partitions = range(len((await read_state(tx)).partitions))
        deleted = 0
        for partition in partitions:
            while count := await self._prune_some(partition):
                deleted += count
        async with self._database.read() as tx:
            left_behind = await _left_behind(tx)
        for follower in left_behind:
            _log.error("feed pruned past a follower", follower=follower)
        self._metrics.set_degraded("feed_follower_left_behind", bool(left_behind))
        return deleted

    async def _prune_some(self, partition: int) -> int:
        async with self._database.transaction() as tx:
            values = {"partition": partition, "limit": _BATCHES_PER_TRANSACTION}
            oldest = [(row.position, row.commit_time) for row in await tx.fetch_all(_OLDEST, values)]
            followers = await _followers(tx, partition)
            through = prunable_through(oldest, followers, self._retention, self._clock())
            if through is None:
                return 0
            deleted = await tx.execute(_DELETE, {"partition": partition, "through": through})
            await tx.execute(_MARK, {"partition": partition, "through": through})
        return deleted.rowcount


async def _followers(tx: Transaction, partition: int) -> dict[str, int]:
    rows = await tx.fetch_all(
        "SELECT follower, position FROM feed_followers WHERE partition = :partition", {"partition": partition}
    )
    return {row.follower: row.position for row in rows}


async def _left_behind(tx: Transaction) -> list[str]:
    rows = await tx.fetch_all(
        "SELECT DISTINCT follower FROM feed_followers f JOIN feed_head h USING (partition)"
        " WHERE f.position < h.pruned_position ORDER BY follower"
    )
    return [row.follower for row in rows]
