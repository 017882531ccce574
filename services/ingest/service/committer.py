"""Group commit: batches of many streams become one transaction.

A group starts at once when nothing was committed lately. Under load the next one fills while one commits, and for some
milliseconds at least: a commit and its acknowledgements cost about the same whatever the group holds.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from libs.common.observability.failure import describe_failure
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.batches import Arrival, SessionBatches

log = structlog.get_logger()

# Preparing gives way after this long, so that a commit that waits for the event loop doesn't wait for a whole backlog.
PREPARE_SLICE_SECONDS = 0.001

Verdict = Outcome | AppError
Commit = Callable[[Sequence[Batch]], Awaitable[Sequence[Verdict]]]


class Lane(ABC):
    """One client's batches in their order, and where word of them goes."""

    def __init__(self, batches: SessionBatches) -> None:
        self.batches = batches
        self.error: AppError | None = None

    @abstractmethod
    def committed(self, outcomes: Sequence[Outcome]) -> None:
        """These batches, the next in order, are durable."""

    def failed(self, error: AppError) -> None:
        """None of the other batches is or will be stored, except by a COMMIT that nobody answered."""
        self.error = error


@dataclass(frozen=True, slots=True)
class Limits:
    """When a group is closed, and when the queue is full; a single batch may exceed them."""

    group_predictions: int
    group_bytes: int
    group_interval_seconds: float
    queue_bytes: int


class Committer:
    """`commit` stores a group in one transaction and answers for each batch; it raises when it stored nothing."""

    def __init__(self, commit: Commit, limits: Limits) -> None:
        self._commit = commit
        self._limits = limits
        self._arrivals: deque[tuple[Lane, Arrival]] = deque()
        self._prepared: deque[tuple[Lane, Batch]] = deque()
        self._queued_bytes = 0
        self._something_arrived = asyncio.Event()
        self._something_prepared = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._queued_bytes >= self._limits.queue_bytes

    async def room(self) -> None:
        """Waits while the queue is full, so that nobody is read faster than stored."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def submit(self, lane: Lane, arrival: Arrival) -> None:
        """Raises what the lane has failed with."""
        if lane.error:
            raise lane.error
        self._arrivals.append((lane, arrival))
        self._queued_bytes += arrival.size_bytes
        self._something_arrived.set()

    async def run(self) -> None:
        """Forever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prepare_arrivals())
            group.create_task(self._commit_groups())

    async def _prepare_arrivals(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something_arrived.wait()
            self._something_arrived.clear()
            slice_end = loop.time() + PREPARE_SLICE_SECONDS
            while self._arrivals:
                self._prepare(*self._arrivals.popleft())
                if loop.time() >= slice_end:
                    await asyncio.sleep(0)
                    slice_end = loop.time() + PREPARE_SLICE_SECONDS

    def _prepare(self, lane: Lane, arrival: Arrival) -> None:
        try:
            batch = lane.batches.prepare(arrival)
        except Exception as error:  # whatever one client sent, the others go on
            log.error("a batch can't be read", **describe_failure(error))
            self._queued_bytes -= arrival.size_bytes
            lane.failed(AppError(ErrorKind.INTERNAL, "INTERNAL"))
            return
        self._prepared.append((lane, batch))
        self._something_prepared.set()

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something_prepared.wait()
            self._something_prepared.clear()
            while group := self._next_group():
                start = loop.time()
                await self._settle(group)
                await asyncio.sleep(start + self._limits.group_interval_seconds - loop.time())

    def _next_group(self) -> list[tuple[Lane, Batch]]:
        group: list[tuple[Lane, Batch]] = []
        predictions = size = 0
        while self._prepared and predictions < self._limits.group_predictions and size < self._limits.group_bytes:
            lane, batch = self._prepared.popleft()
            self._queued_bytes -= batch.size_bytes
            if not lane.error:
                group.append((lane, batch))
                predictions += batch.size_predictions
                size += batch.size_bytes
        self._room.set()
        return group

    async def _settle(self, group: Sequence[tuple[Lane, Batch]]) -> None:
        by_lane: dict[Lane, list[Batch]] = {}
        for lane, batch in group:
            by_lane.setdefault(lane, []).append(batch)
        try:
            verdicts = await self._commit([batch for batches in by_lane.values() for batch in batches])
        except Exception as error:
            await self._settle_failed(by_lane, error)
            return
        answers = iter(verdicts)
        for lane, batches in by_lane.items():
            _tell(lane, [next(answers) for _ in batches])

    async def _settle_failed(self, by_lane: dict[Lane, list[Batch]], error: Exception) -> None:
        """Every lane for itself, so that only the guilty one fails; unless it is the database that fails everybody."""
        if isinstance(error, AppError) and error.kind is ErrorKind.UNAVAILABLE:
            for lane in by_lane:
                lane.failed(error)
        elif len(by_lane) > 1:
            for lane, batches in by_lane.items():
                await self._settle([(lane, batch) for batch in batches])
        else:
            log.error("a stream's batches can't be stored", **describe_failure(error))
            for lane in by_lane:
                lane.failed(error if isinstance(error, AppError) else AppError(ErrorKind.INTERNAL, "INTERNAL"))


def _tell(lane: Lane, verdicts: Sequence[Verdict]) -> None:
    outcomes: list[Outcome] = []
    for verdict in verdicts:
        if isinstance(verdict, AppError):
            lane.committed(outcomes)
            lane.failed(verdict)
            return
        outcomes.append(verdict)
    lane.committed(outcomes)
