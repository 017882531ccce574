"""A session as an app sees it: a stretch of time in which one person is monitored."""

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from uuid import UUID

from quietus.ingest.v1.predictions_pb2 import Prediction
from quietus_edge import messages
from quietus_edge.cues.hearing import with_cues
from quietus_edge.errors import InvalidInputError
from quietus_edge.ids import uuid7
from quietus_edge.keys import Keys
from quietus_edge.predictions import LONGEST_CHUNK, Audio, Chunk, Text, Vision
from quietus_edge.spool import Joined, Spool, Store
from quietus_edge.vitals import Vitals, check

LONGEST_SESSION = timedelta(hours=24)
# The service takes what was captured up to a day before its session. Only a clock that was put back goes so far.
FARTHEST_BEFORE_START = timedelta(hours=23)

Fact = tuple[str, bytes]


class Session:
    """Made by EdgeClient.session(). After 24 hours it ends by itself and goes on as its successor; also when the clock
    is put back so far that the service wouldn't take what comes.
    """

    def __init__(
        self,
        spool: Spool,
        keys: Keys,
        wake: Callable[[int], None],
        session_id: UUID | None,
        start: datetime | None,
        vitals: Vitals,
        modalities: Iterable[str] = (),
        joined: Joined | None = None,
    ) -> None:
        if start and start.tzinfo is None:
            raise InvalidInputError("a session needs a start with a timezone")
        self._spool = spool
        self._keys = keys
        self._wake = wake
        self._vitals = vitals
        self._states = dict.fromkeys(modalities, "running")
        for modality in self._states:
            check(modality, "running")
        self._joined = joined
        self._is_live = start is None or joined is not None
        self._start = start or datetime.now(UTC)
        self._last_end = self._start
        # Of the window that record() makes by itself next.
        self._next_start = datetime.now(UTC) if joined else self._start
        self._key = -1
        self._succession = asyncio.Lock()
        self.session_id = session_id or uuid7(self._start)

    @property
    def start_time(self) -> datetime:
        """By this device's clock; another device that continues the session is told it."""
        return self._start

    async def __aenter__(self) -> "Session":
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.end()

    async def record(
        self,
        *,
        vision: Vision | None = None,
        audio: Audio | None = None,
        text: Text | None = None,
        chunk: Chunk | None = None,
    ) -> Chunk:
        """Keeps what the models said of one chunk, durably, and returns the chunk.

        Without `chunk`, the window runs from the end of the one before to now. Pass a chunk again for a modality that
        comes late, or Chunk.between(start, end) for a window of your own.
        InvalidInputError names a value that no service would take. SessionEndedError. SpoolFullError.
        """
        return await self.keep(vision, audio, text, chunk)

    async def keep(
        self, vision: Vision | None, audio: Audio | None, text: Text | None, chunk: Chunk | None, *facts: Fact
    ) -> Chunk:
        """record(), and facts that the spool keeps in the same transaction."""
        if chunk is None:
            chunk = self._window_until_now()
        else:
            self._next_start = max(self._next_start, chunk.end)
        seal = None
        if text and text.transcript:
            # Off the event loop: the lists are read the first time, and a text may be long.
            text = await asyncio.to_thread(with_cues, text)
            seal = await self._keys.seal_for(chunk.chunk_id)
        predictions = messages.predictions(chunk, vision, audio, text, seal)
        async with self._succession:
            if chunk.end - self._start > LONGEST_SESSION or self._start - chunk.start > FARTHEST_BEFORE_START:
                await self._succeed(chunk.start)
            await self._append(predictions, chunk.end, facts)
        self._last_end = max(self._last_end, chunk.end)
        said = {"vision": vision, "audio": audio, "text": text}
        self._vitals.captured(self._key, [name for name, one in said.items() if one], chunk.end)
        self._wake(self._key)
        return chunk

    def set_modality(self, modality: str, state: str) -> None:
        """Says that vision, audio or text is running, off (by the person or the app) or failed; it is told with the
        next heartbeat. While a session has modalities, its stream stays open. InvalidInputError.
        """
        check(modality, state)
        self._states[modality] = state
        self._vitals.set_state(self._key, modality, state)
        self._wake(self._key)

    async def end(self, at: datetime | None = None) -> None:
        """Ends the session at `at`, but never before its last chunk. The first end stands."""
        key, end = self._key, at or self._default_end()
        self._vitals.forget(key)
        await self._spool.run(lambda store: store.end_session(key, end))
        self._wake(key)

    async def _open(self) -> None:
        session_id, start = self.session_id, self._start
        joined, self._joined = self._joined, None
        if joined:
            self._key = await self._spool.run(lambda store: store.join_session(session_id, start, joined))
        else:
            self._key = await self._spool.run(lambda store: store.open_session(session_id, start))
        for modality, state in self._states.items():
            self._vitals.set_state(self._key, modality, state)
        self._wake(self._key)

    async def _succeed(self, start: datetime) -> None:
        await self.end(self._last_end)
        self._start = self._last_end = start
        self.session_id = uuid7(start)
        await self._open()

    async def _append(self, predictions: list[Prediction], captured_until: datetime, facts: tuple[Fact, ...]) -> None:
        key, danger = self._key, messages.points_to_danger(predictions)

        def step(store: Store) -> None:
            store.append(key, predictions, captured_until, danger=danger)
            for name, value in facts:
                store.set_fact(name, value)

        await self._spool.run(step)

    def _default_end(self) -> datetime:
        return min(datetime.now(UTC), self._start + LONGEST_SESSION) if self._is_live else self._last_end

    def _window_until_now(self) -> Chunk:
        """Empty when the clock was put back; the next one isn't."""
        now = datetime.now(UTC)
        start = min(max(self._next_start, now - LONGEST_CHUNK), now)
        self._next_start = now
        return Chunk.between(start, now)
