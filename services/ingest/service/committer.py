"""Group commit: batches of many streams become one transaction.

A group starts at once when nothing was committed lately, or when much waits. Otherwise the next one fills while one
commits, and for some milliseconds at least: a commit and its acknowledgements cost about the same whatever the group
holds. What arrives is made ready in slices of many batches, since a slice has a price of its own: while a group commits
as soon as a slice is full, and the rest when its turn comes. Each device has a turn in a group, so that one that floods
delays nobody.

While the database is away a group waits and is tried again; nobody who streams hears more of it than that nothing more
may be sent for now.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from libs.common.cancellation import pause
from libs.common.db.availability import Availability
from libs.common.observability.failure import describe_failure
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.grouping import Batch, Outcome
from services.ingest.service.batches import Arrival, now, prepare
from services.ingest.service.line import Line, Place

log = structlog.get_logger()

# About 256 predictions, two milliseconds; then everything else has its turn. Small ones cost nearly as much as large.
SLICE_BYTES = 65_536
SLICE_PREDICTIONS = 512
# To check a heartbeat costs as much as so many of them.
OTHER_PREDICTIONS = 8

# Some thousand predictions: a group gains little by holding more.
ENOUGH_BYTES = 262_144
# A database that takes longer is slow by itself: to wait for it twice would help nobody.
REST_MAX_SECONDS = 0.05
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.05, 1.0
# A group that meets a busy database so often is stored stream by stream: maybe only one session is in others' hands.
BUSY_MAX = 3

# What of the service misses the database.
WRITES = "group commit"

Verdict = Outcome | AppError
Commit = Callable[[Sequence[Batch]], Awaitable[Sequence[Verdict]]]


class Lane(ABC):
    """One client's batches in their order, and where word of them goes.

    Open, it is asked for what it sent. Refused, it takes nothing more and hears of what it took. Failed, it hears
    nothing more, though a batch that was committing may be stored: the client sends it again, and it is a duplicate.
    """

    # Whether it is kept waiting while the database is away. What is not fails.
    is_patient = True

    def __init__(self, place: Place) -> None:
        self.place = place
        self.error: AppError | None = None
        self.is_open = True

    @abstractmethod
    def arrive(self, message: bytes, receive_time: int) -> Arrival | None:
        """What came next, as it was submitted; None when it is no batch. Raises AppError for what can't be taken."""

    @abstractmethod
    def committed(self, outcome: Outcome) -> None:
        """A batch, the next in order, is durable."""

    def refused(self, error: AppError) -> None:
        """Nothing from here on is taken; what was taken before goes its way."""
        self.is_open = False

    def failed(self, error: AppError) -> None:
        """Nothing more will be said; whatever wasn't acknowledged has to be sent again."""
        self.is_open = False
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

    def __init__(self, commit: Commit, limits: Limits, availability: Availability) -> None:
        self._commit = commit
        self._limits = limits
        self._availability = availability
        # Messages stay bytes until their slice is made: what is parsed long before it is read has left the caches.
        self._line = Line()
        self._prepared: deque[tuple[Lane, Batch]] = deque()
        self._prepared_predictions = 0
        self._prepared_bytes = 0
        self._queued_bytes = 0
        self._something_received = asyncio.Event()
        self._slice_received = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    @property
    def is_full(self) -> bool:
        return self._queued_bytes >= self._limits.queue_bytes

    async def room(self) -> None:
        """Waits while the queue is full, so that nobody is read faster than stored. Who submits at once afterwards
        passes the bound by no more than this message.
        """
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def submit(self, lane: Lane, message: bytes) -> None:
        """The lane is asked for what the message says when its turn comes."""
        self._line.add(lane.place, (lane, message, now()))
        self._queued_bytes += len(message)
        self._something_received.set()
        if self._line.size_bytes >= SLICE_BYTES:
            self._slice_received.set()

    async def run(self) -> None:
        """Forever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._prepare_slices())
            group.create_task(self._commit_groups())

    async def _prepare_slices(self) -> None:
        """As long as the next group isn't full: what waits longer waits as bytes."""
        while True:
            await self._slice_received.wait()
            self._slice_received.clear()
            while self._line.size_bytes >= SLICE_BYTES and self._prepared_predictions < self._limits.group_predictions:
                self._prepare_slice()
                await asyncio.sleep(0)

    def _prepare_slice(self) -> None:
        arrived: list[tuple[Lane, Arrival]] = []
        predictions = others = size = 0
        while (
            size < SLICE_BYTES
            and predictions + others * OTHER_PREDICTIONS < SLICE_PREDICTIONS
            and (received := self._line.next())
        ):
            lane, message, receive_time = received
            size += len(message)
            if arrival := _arrival(lane, message, receive_time):
                arrived.append((lane, arrival))
                predictions += arrival.size_predictions
                self._prepared_bytes += arrival.size_bytes
                lane.place.ready_predictions += arrival.size_predictions
            else:
                others += 1
                self._queued_bytes -= len(message)
                lane.place.spend(1, now())
        self._prepared_predictions += predictions
        if arrived:
            self._prepare(arrived)

    def _prepare(self, arrived: Sequence[tuple[Lane, Arrival]]) -> None:
        """Whatever one client sent, the others go on."""
        try:
            batches = prepare([arrival for _, arrival in arrived])
        except Exception as error:
            log.error("batches can't be read", batches=len(arrived), **describe_failure(error))
            if len(arrived) > 1:
                for one in arrived:
                    self._prepare([one])
                return
            ((lane, arrival),) = arrived
            self._taken(lane.place, arrival.size_predictions, arrival.size_bytes)
            lane.failed(_internal())
        else:
            self._prepared.extend([(lane, batch) for (lane, _), batch in zip(arrived, batches, strict=True)])

    def _taken(self, place: Place, predictions: int, size_bytes: int) -> None:
        """From what was ready."""
        self._prepared_predictions -= predictions
        self._prepared_bytes -= size_bytes
        self._queued_bytes -= size_bytes
        place.spend(predictions, now())
        self._line.taken(place, predictions)

    async def _commit_groups(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._something_received.wait()
            self._something_received.clear()
            while group := await self._next_group():
                start = loop.time()
                await self._settle(group)
                interval, commit = self._limits.group_interval_seconds, loop.time() - start
                await asyncio.sleep(rest_seconds(interval, commit, self._prepared_bytes))

    async def _next_group(self) -> list[tuple[Lane, Batch]]:
        """Turns begin anew when it is complete."""
        taken: list[tuple[Lane, Batch]] = []
        predictions = size = 0
        while predictions < self._limits.group_predictions and size < self._limits.group_bytes:
            if not self._prepared:
                if not self._line:
                    break
                self._prepare_slice()
                await asyncio.sleep(0)
                continue
            lane, batch = self._prepared.popleft()
            taken.append((lane, batch))
            if not lane.error:
                predictions += batch.size_predictions
                size += batch.size_bytes
        for place, (place_predictions, place_bytes) in _by_place(taken).items():
            self._taken(place, place_predictions, place_bytes)
        self._room.set()
        if self._line:  # maybe only what came behind a failed lane's: nobody else tells of it
            self._something_received.set()
        if self._line.size_bytes >= SLICE_BYTES:
            self._slice_received.set()
        return [(lane, batch) for lane, batch in taken if not lane.error]

    async def _settle(self, group: Sequence[tuple[Lane, Batch]]) -> None:
        """Returns when everything of the group is stored or has failed, however long the database is away."""
        busy = 0
        pause_seconds = FIRST_PAUSE_SECONDS
        while group:
            try:
                verdicts = await self._commit([batch for _, batch in group])
            except Exception as error:
                if not isinstance(error, AppError) or error.kind is not ErrorKind.UNAVAILABLE:
                    self._availability.found(WRITES)
                    await self._settle_failed(group, error)
                    return
                busy += error.reason == "DATABASE_BUSY"
                if busy >= BUSY_MAX:
                    self._availability.found(WRITES)
                    await self._settle_busy(group, error)
                    return
                self._availability.missed(WRITES)
                group = _patient(group, error)
                await pause(pause_seconds)
                pause_seconds = min(2 * pause_seconds, LONGEST_PAUSE_SECONDS)
            else:
                self._availability.found(WRITES)
                _tell(group, verdicts)
                return
        self._availability.found(WRITES)

    async def _settle_failed(self, group: Sequence[tuple[Lane, Batch]], error: Exception) -> None:
        """Every lane for itself, so that only the guilty one fails."""
        by_lane = _by_lane(group)
        if len(by_lane) > 1:
            for batches in by_lane.values():
                await self._settle(batches)
            return
        log.error("a stream's batches can't be stored", **describe_failure(error))
        for lane in by_lane:
            lane.failed(error if isinstance(error, AppError) else _internal())

    async def _settle_busy(self, group: Sequence[tuple[Lane, Batch]], error: AppError) -> None:
        """Every lane for itself; one that meets a busy database alone is asked to come again."""
        by_lane = _by_lane(group)
        for lane, batches in by_lane.items():
            if len(by_lane) > 1:
                await self._settle(batches)
            else:
                lane.failed(error)


def rest_seconds(interval_seconds: float, commit_seconds: float, ready_bytes: int) -> float:
    """Until the next group: the busier the machine, the longer a commit takes, and the more a group should hold.

    What waits and isn't ready doesn't count: a device that floods has much of it, and only its turn in a group.
    """
    if ready_bytes >= ENOUGH_BYTES:
        return 0.0
    return max(interval_seconds - commit_seconds, min(commit_seconds, REST_MAX_SECONDS))


def _by_place(taken: Sequence[tuple[Lane, Batch]]) -> dict[Place, tuple[int, int]]:
    """Predictions and bytes."""
    by_place: dict[Place, tuple[int, int]] = {}
    for lane, batch in taken:
        predictions, size = by_place.get(lane.place, (0, 0))
        by_place[lane.place] = predictions + batch.size_predictions, size + batch.size_bytes
    return by_place


def _by_lane(group: Sequence[tuple[Lane, Batch]]) -> dict[Lane, list[tuple[Lane, Batch]]]:
    by_lane: dict[Lane, list[tuple[Lane, Batch]]] = {}
    for lane, batch in group:
        by_lane.setdefault(lane, []).append((lane, batch))
    return by_lane


def _patient(group: Sequence[tuple[Lane, Batch]], error: AppError) -> list[tuple[Lane, Batch]]:
    """What goes on waiting; the others hear the error."""
    for lane in dict.fromkeys(lane for lane, _ in group):
        if not lane.is_patient and not lane.error:
            lane.failed(error)
    return [(lane, batch) for lane, batch in group if not lane.error]


def _tell(group: Sequence[tuple[Lane, Batch]], verdicts: Sequence[Verdict]) -> None:
    for (lane, _), verdict in zip(group, verdicts, strict=True):
        if lane.error:
            continue
        if isinstance(verdict, AppError):
            lane.failed(verdict)
        else:
            lane.committed(verdict)


def _arrival(lane: Lane, message: bytes, receive_time: int) -> Arrival | None:
    """None when the lane takes nothing more."""
    if lane.is_open:
        try:
            return lane.arrive(message, receive_time)
        except AppError as error:
            lane.refused(error)
        except Exception as error:
            log.error("a message can't be read", **describe_failure(error))
            lane.failed(_internal())
    return None


def _internal() -> AppError:
    return AppError(ErrorKind.INTERNAL, "INTERNAL")
