"""Watches which modalities of the open sessions run, and tells when one falls silent and when it is back.

The way of a batch pays nothing for it: every few seconds the newest prediction of each modality is looked up, for those
sessions alone of which something came since the last look. What was told stands in the table of silences, so that a
silence is told once, whoever watches and however often it starts anew.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NoReturn
from uuid import UUID

import structlog

from libs.common.cancellation import pause
from libs.common.clock import Clock, Moment, Timer, running_seconds
from libs.common.db.database import Database, Transaction
from libs.common.observability.failure import describe_failure
from libs.common.observability.metrics import Metrics
from libs.common.rpc.errors import AppError, ErrorKind
from services.ingest.events import modality_resumed, modality_silent
from services.ingest.service.activity import Activity, Presence
from services.ingest.sessions import Session, Status
from services.ingest.silence import Cause, Evidence, Said, Silence, begin, fallen, resume
from services.ingest.store import sessions, silences
from services.ingest.store.silences import Place
from services.ingest.vocabulary import Modality

LOOKS = 3
SESSIONS_PER_LOOK = 500

log = structlog.get_logger()

# What a clock may be set by without anybody's patience counting anew.
SET_MAX = timedelta(seconds=1)

Known = Mapping[Modality, Evidence]


class ModalityWatch:
    def __init__(
        self,
        database: Database,
        activity: Activity,
        metrics: Metrics,
        patience: timedelta,
        clock: Clock,
        timer: Timer = running_seconds,
    ) -> None:
        """`patience`: how long a modality may show nothing while the session goes on."""
        self._database = database
        self._activity = activity
        self._metrics = metrics
        self._patience = patience
        self._clock = clock
        self._timer = timer
        self._last_look: Moment | None = None
        # When a session was first looked at since its streams are open, and what had come by the last look.
        self._listening_since: dict[UUID, datetime] = {}
        self._progress: dict[UUID, object] = {}

    async def run(self) -> NoReturn:
        """A background task."""
        while True:
            try:
                await self.look()
            except AppError as error:
                log.warning("modalities not watched", reason=error.reason)
            await pause(self._patience.total_seconds() / LOOKS)

    async def look(self) -> None:
        now = self._time()
        streams: defaultdict[UUID, list[Presence]] = defaultdict(list)
        for presence in self._activity.streams:
            streams[presence.session.key.session_id].append(presence)
        self._listening_since = {session_id: self._listening_since.get(session_id, now) for session_id in streams}
        progress = {session_id: _progress(those) for session_id, those in streams.items()}
        moved = [session_id for session_id in streams if progress[session_id] != self._progress.get(session_id)]
        for first in range(0, len(moved), SESSIONS_PER_LOOK):
            some = moved[first : first + SESSIONS_PER_LOOK]
            await self._look_at({session_id: streams[session_id] for session_id in some}, now)
        self._progress = progress

    def _time(self) -> datetime:
        """When somebody set the clock, every session is listened to anew: what came before it tells nothing now."""
        moment = Moment(self._clock(), self._timer())
        if self._last_look and abs(moment.set_ahead_since(self._last_look)) > SET_MAX:
            self._listening_since.clear()
        self._last_look = moment
        return moment.time

    async def _look_at(self, streams: Mapping[UUID, Sequence[Presence]], now: datetime) -> None:
        """One whose look fails holds up nobody else: the others are looked at without it."""
        try:
            await self._look_at_all(streams, now)
        except Exception as error:
            if isinstance(error, AppError) and error.kind is ErrorKind.UNAVAILABLE:
                raise
            if len(streams) > 1:
                for session_id, those in streams.items():
                    await self._look_at({session_id: those}, now)
                return
            self._metrics.sessions_passed_over.inc()
            log.error("a session's modalities not watched", **describe_failure(error))

    async def _look_at_all(self, streams: Mapping[UUID, Sequence[Presence]], now: datetime) -> None:
        async with self._database.read() as tx:
            known = await _known(tx, streams)
        await self._keep_running(streams, known, now)
        for session_id, evidence in known.items():
            if any(self._changes(session_id, modality, evidence, now) for modality in Modality):
                await self._try_to_settle(session_id, evidence)

    def _changes(self, session_id: UUID, modality: Modality, evidence: Known, now: datetime) -> bool:
        if evidence[modality].lasting:
            return evidence[modality].is_back
        return self._fallen(session_id, modality, evidence, now) is not None

    def _fallen(self, session_id: UUID, modality: Modality, evidence: Known, now: datetime) -> Cause | None:
        return fallen(modality, evidence, self._listening_since[session_id], now, self._patience)

    async def _try_to_settle(self, session_id: UUID, evidence: Known) -> None:
        """One that can't be settled now holds up nobody else; the next look finds it again."""
        try:
            await self._settle(session_id, evidence)
        except AppError as error:
            self._metrics.sessions_passed_over.inc()
            log.warning("a session's modalities not settled", reason=error.reason)

    async def _settle(self, session_id: UUID, evidence: Known) -> None:
        """Decides again under the session's lock, by what the tables hold whatever the clocks of its devices.

        All its predictions are read before it is locked; under the lock, where its writers wait, the newest alone.
        """
        async with self._database.read() as tx:
            lasting_before = await silences.lasting(tx, [session_id])
            since = {modality: silence.since_time for (_, modality), silence in lasting_before.items()}
            before = await silences.windows(tx, session_id, since)
        async with self._database.transaction() as tx:
            session = await sessions.lock(tx, session_id)
            if session is None or session.status is Status.ENDED:
                return
            now = self._clock()
            lasting = await silences.lasting(tx, [session_id])
            if lasting != lasting_before:  # another process was quicker
                return
            recent = await silences.recent_windows(tx, session_id, since)
            windows = {modality: before[modality].with_later(recent[modality]) for modality in Modality}
            exact = {
                modality: replace(
                    mine,
                    received=windows[modality].received,
                    captured_until=windows[modality].captured_until,
                    lasting=lasting.get((session_id, modality)),
                )
                for modality, mine in evidence.items()
            }
            for modality, mine in exact.items():
                if mine.is_back:
                    await _tell_resumed(tx, session, mine, windows[modality].first_start, now)
                elif not mine.lasting and (cause := self._fallen(session_id, modality, exact, now)):
                    await _tell_silent(tx, session, modality, mine, cause, now)

    async def _keep_running(
        self, streams: Mapping[UUID, Sequence[Presence]], known: Mapping[UUID, Known], now: datetime
    ) -> None:
        """For other processes, which don't hear these devices: only of modalities whose predictions don't say it."""
        quiet = [
            (streams[session_id][0].session.key, modality, mine.running.at)
            for session_id, evidence in known.items()
            for modality, mine in evidence.items()
            if mine.running and _is_older(mine.received, now - self._patience / 2)
            if _is_older(mine.running_time, now - self._patience / 2)
        ]
        if quiet:
            async with self._database.transaction() as tx:
                await silences.keep_running(tx, quiet)


def _progress(streams: Sequence[Presence]) -> object:
    return {id(presence.stream): presence.stream.progress for presence in streams}


def _is_older(time: datetime | None, than: datetime) -> bool:
    return time is None or time < than


async def _known(tx: Transaction, streams: Mapping[UUID, Sequence[Presence]]) -> Mapping[UUID, Known]:
    newest = await silences.newest(tx, streams)
    lasting = await silences.lasting(tx, streams)
    running = await silences.running(tx, streams)

    def evidence(place: Place, said: Sequence[Said]) -> Evidence:
        received, captured_until = newest.get(place, (None, None))
        return Evidence(received, captured_until, said, running.get(place), lasting.get(place))

    return {
        session_id: {modality: evidence((session_id, modality), _said(those, modality)) for modality in Modality}
        for session_id, those in streams.items()
    }


def _said(streams: Sequence[Presence], modality: Modality) -> Sequence[Said]:
    return [said for one in streams if (said := one.stream.heartbeats.said.get(modality))]


async def _tell_silent(
    tx: Transaction, session: Session, modality: Modality, mine: Evidence, cause: Cause, now: datetime
) -> None:
    boundary = await silences.boundary(tx, session.key.session_id, modality)
    silence = Silence(modality, begin(mine, session.start_time, boundary), cause, now)
    await silences.begin(tx, session.key, silence)
    tx.append_to_outbox([modality_silent(session.key, silence)])


async def _tell_resumed(
    tx: Transaction, session: Session, mine: Evidence, first_window: datetime | None, now: datetime
) -> None:
    assert mine.lasting is not None
    silence = mine.lasting
    over = replace(silence, resume_time=resume(silence, mine, first_window), resume_receive_time=now)
    await silences.end(tx, session.key, over)
    tx.append_to_outbox([modality_resumed(session.key, over)])
