"""Runs one sender for each session that has something to send."""

import asyncio

from quietus_edge.connection import Connection
from quietus_edge.session_sender import SessionSender
from quietus_edge.settings import Limits
from quietus_edge.spool import Spool
from quietus_edge.status import Problem, Reports
from quietus_edge.vitals import Vitals


class Sender:
    def __init__(self, connection: Connection, spool: Spool, reports: Reports, limits: Limits, vitals: Vitals) -> None:
        self._vitals = vitals
        self._connection = connection
        self._spool = spool
        self._reports = reports
        self._limits = limits
        self._turn = asyncio.Lock()
        self._senders: dict[int, SessionSender] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self, key: int) -> None:
        """The session of this key has something new."""
        if sender := self._senders.get(key):
            sender.wake.set()
            return
        self._senders[key] = SessionSender(
            key, self._connection, self._spool, self._reports, self._limits, self._turn, self._vitals
        )
        task = asyncio.create_task(self._send(key, self._senders[key]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stops at once; what isn't acknowledged stays in the spool."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _send(self, key: int, sender: SessionSender) -> None:
        try:
            again = True
            while again:
                sender.wake.clear()
                await sender.run()
                again = sender.wake.is_set()
        except Exception as error:  # a sender that dies silently would keep its session here forever
            self._reports.block(Problem("EDGE_FAILED", repr(error)))
            raise
        finally:
            del self._senders[key]
