"""The client: a durable spool in front of one stream a session."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from uuid import UUID, uuid4

import grpc

from quietus_edge.connection import Connection, is_loopback
from quietus_edge.errors import DeliveryError, FlushTimeoutError, InvalidInputError
from quietus_edge.keys import Keys
from quietus_edge.sender import Sender
from quietus_edge.session import Session
from quietus_edge.settings import Limits
from quietus_edge.spool import Joined, Spool, Store
from quietus_edge.spool.store import SENDER_ID
from quietus_edge.status import Problem, Refused, Reports, Status
from quietus_edge.vitals import Vitals


def tls(root_certificates: Path | None = None) -> grpc.ChannelCredentials:
    """Credentials that trust the certificates of a PEM file, or the system's."""
    return grpc.ssl_channel_credentials(root_certificates.read_bytes() if root_certificates else None)


class EdgeClient:
    """Keeps what one person's device records in `spool`, and brings it to the service whenever that can be reached.

    A spool belongs to one person, and to one process at a time. Without `tls`, only addresses on this machine are
    taken, unless `insecure` says that the network can be trusted. The callbacks run on the event loop.
    """

    def __init__(
        self,
        address: str,
        *,
        identity_address: str,
        api_key: str,
        spool: Path | str,
        tls: grpc.ChannelCredentials | None = None,
        insecure: bool = False,
        limits: Limits | None = None,
        on_refused: Callable[[Refused], None] | None = None,
        on_problem: Callable[[Problem], None] | None = None,
    ) -> None:
        if not (tls or insecure or (is_loopback(address) and is_loopback(identity_address))):
            raise InvalidInputError("an address on another machine needs tls=tls(), or insecure=True")
        self._address = address
        self._identity_address = identity_address
        self._api_key = api_key
        self._tls = tls
        self._limits = limits or Limits()
        self._spool = Spool(Path(spool), self._limits.max_spool_bytes)
        self._keys = Keys(self._spool, self._limits)
        self._reports = Reports(on_refused, on_problem)
        self._vitals = Vitals()

    async def __aenter__(self) -> "EdgeClient":
        """SpoolLockedError while another process uses the spool; EdgeError when it can't be opened."""
        await self._spool.open()
        await self._keys.load()
        self._connection = Connection(
            self._address,
            self._identity_address,
            self._api_key,
            self._tls,
            self._keys.bind,
            self._limits.call_timeout_seconds,
        )
        self._connection.sender_id = await self._spool.run(_sender_id)
        self._sender = Sender(self._connection, self._spool, self._reports, self._limits, self._vitals)
        self._looking_up = asyncio.create_task(self._keys.run(self._connection, self._reports))
        if self._spool.moved_aside:
            kept = self._spool.totals.waiting_predictions
            moved = (
                f"the spool was broken and lies at {self._spool.moved_aside} now; {kept} predictions of it were whole"
            )
            self._reports.tell(Problem("SPOOL_BROKEN", moved))
        if self._spool.is_older:
            lost = "the spool is an older one than it was: what was recorded or acknowledged last is no longer in it"
            self._reports.tell(Problem("SPOOL_WENT_BACK", lost))
        for key in await self._spool.run(_end_what_a_dead_process_left):
            self._sender.wake(key)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stops at once. What isn't acknowledged waits in the spool for the next run; flush() first to wait for it."""
        self._looking_up.cancel()
        with suppress(asyncio.CancelledError):
            await self._looking_up
        await self._sender.close()
        await self._connection.close()
        await self._spool.close()

    def session(
        self, *, start: datetime | None = None, session_id: UUID | None = None, modalities: Iterable[str] = ()
    ) -> Session:
        """A session to enter, offline too. By default it starts now, with a new id; an id is a UUIDv7 of its start.

        A session whose start is given ends with its last chunk, any other when it is left. `modalities` (vision, audio,
        text) are those that the app runs: heartbeats tell the service so, which then knows a silent camera from one
        that sees nobody; see Session.set_modality().
        """
        return Session(self._spool, self._keys, self._sender.wake, session_id, start, self._vitals, modalities)

    def continue_session(
        self, session_id: UUID, *, start: datetime, modalities: Iterable[str] = (), end: bool = False
    ) -> Session:
        """A session of the same person to enter that another device started at `start`.

        Both may send at the same time. Leaving it leaves it to the others, unless `end` says that it ends for all.
        """
        joined = Joined.ENDING if end else Joined.LEAVING
        return Session(self._spool, self._keys, self._sender.wake, session_id, start, self._vitals, modalities, joined)

    async def flush(self, timeout: float) -> None:
        """Waits until everything is acknowledged and all ended sessions are ended at the server.

        FlushTimeoutError after `timeout` seconds; DeliveryError as soon as sending is blocked. Neither loses anything.
        """
        try:
            async with asyncio.timeout(timeout):
                while not await self._spool.run(lambda store: store.is_drained()):
                    if blocked := self._reports.blocked:
                        raise DeliveryError(blocked.reason, blocked.message)
                    self._reports.changed.clear()
                    await self._reports.changed.wait()
        except TimeoutError:
            status = self.status()
            raise FlushTimeoutError(
                f"{status.waiting_predictions} predictions of {status.waiting_sessions} sessions wait in the spool,"
                f" to be sent later ({status.state})"
            ) from None

    def status(self) -> Status:
        moved = self._spool.moved_aside
        return self._reports.status(self._spool.totals, self._keys.can_seal, str(moved) if moved else None)

    async def fact(self, name: str) -> bytes | None:
        """What was kept beside a record by Session.keep()."""
        return await self._spool.run(lambda store: store.fact(name))


def _sender_id(store: Store) -> str:
    """Made with the spool, and when it went back: another spool counts its batches for itself, on the same device
    too.
    """
    sender_id = store.fact(SENDER_ID)
    if sender_id is None:
        sender_id = str(uuid4()).encode()
        store.set_fact(SENDER_ID, sender_id)
    return sender_id.decode()


def _end_what_a_dead_process_left(store: Store) -> list[int]:
    keys = store.session_keys()
    for key in keys:
        store.end_session(key)
    return keys
