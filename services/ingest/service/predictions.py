"""Takes predictions and shows what was taken."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from libs.common.db.availability import Availability
from libs.common.db.database import AnyRow, Database
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError
from libs.common.rpc.validation import parser
from quietus.ingest.v1.predictions_pb2 import PredictionBatch
from services.ingest.grouping import Outcome
from services.ingest.senders import Sender
from services.ingest.service.activity import Activity
from services.ingest.service.batches import NOTHING, Arrival, Found, SessionBatches
from services.ingest.service.committer import Committer, Lane
from services.ingest.service.devices import Device, Devices
from services.ingest.service.hearing import Hearing
from services.ingest.service.sessions import Sessions
from services.ingest.service.stream import PredictionStream, StreamLimits
from services.ingest.sessions import Session
from services.ingest.store import predictions, sealing_keys
from services.ingest.store.pages import PAGE_BYTES, Page
from services.ingest.unsealed import Sealer
from services.ingest.vocabulary import Modality

_parse_batch = parser(PredictionBatch)


class Predictions:
    def __init__(
        self,
        database: Database,
        sessions: Sessions,
        committer: Committer,
        availability: Availability,
        devices: Devices,
        activity: Activity,
        limits: StreamLimits,
        *,
        allow_plaintext: bool,
    ) -> None:
        self._database = database
        self._activity = activity
        self._sessions = sessions
        self._committer = committer
        self._availability = availability
        self._devices = devices
        self.limits = limits
        self._hearing = Hearing() if allow_plaintext else None

    @asynccontextmanager
    async def stream(self, caller: Caller, session_id: UUID, sender_id: UUID | None) -> AsyncIterator[PredictionStream]:
        with self._devices.stream(caller) as device:
            session, sender = await self._sessions.to_record(caller, session_id, sender_id)
            batches = await self._batches(session, sender)
            stream = PredictionStream(batches, device, self._committer, self._availability, self.limits, self._hearing)
            with self._activity.present(session, sender, stream):
                yield stream

    async def record(
        self, caller: Caller, session_id: UUID, sender_id: UUID | None, message: PredictionBatch
    ) -> Outcome:
        device = self._devices.of(caller)
        device.check_debt()
        session, sender = await self._sessions.to_record(caller, session_id, sender_id)
        self._activity.heard(session, sender)
        found = await self._hearing.listen(message, device) if self._hearing else NOTHING
        single = _SingleBatch(await self._batches(session, sender), device, found)
        await self._committer.room()
        self._committer.submit(single, message.SerializeToString())
        return await single.outcome

    async def _batches(self, session: Session, sender: Sender) -> SessionBatches:
        """The key is looked up once: words that are sent before it is there are discarded until the stream's end."""
        if not self._hearing:
            return SessionBatches(session, sender.first_number)
        user_id = session.key.user_id
        async with self._database.read() as tx:
            keys = await sealing_keys.find(tx, [user_id])
        return SessionBatches(session, sender.first_number, Sealer(user_id, keys.get(user_id)))

    async def page(
        self, caller: Caller, session_id: UUID, modality: Modality, after: UUID | None, limit: int
    ) -> Page[AnyRow]:
        async with self._database.read() as tx:
            await self._sessions.readable(tx, caller, session_id)
            return await predictions.page(tx, modality, session_id, after, limit, PAGE_BYTES)


class _SingleBatch(Lane):
    # A call has a deadline, and its caller tries again.
    is_patient = False

    def __init__(self, batches: SessionBatches, device: Device, found: Found) -> None:
        super().__init__(device)
        self._batches = batches
        self._found = found
        self.outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def arrive(self, message: bytes, receive_time: int) -> Arrival:
        return self._batches.arrive(_parse_batch(message), receive_time, len(message), self._found)

    def committed(self, outcome: Outcome) -> None:
        if not self.outcome.done():  # a caller that went away has cancelled it
            self.outcome.set_result(self._batches.as_sent(outcome))

    def refused(self, error: AppError) -> None:
        super().refused(error)
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def failed(self, error: AppError) -> None:
        super().failed(error)
        if not self.outcome.done():
            self.outcome.set_exception(error)
