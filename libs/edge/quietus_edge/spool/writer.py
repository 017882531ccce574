"""The spool's thread. What is asked while it syncs becomes its next transaction: one sync serves many records."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from quietus_edge.errors import EdgeError, SpoolBrokenError, SpoolFullError
from quietus_edge.spool.file import OpenFile, open_file
from quietus_edge.spool.rows import Totals
from quietus_edge.spool.store import Store

MOST_STEPS_IN_A_TRANSACTION = 256

Result = TypeVar("Result")
Step = Callable[[Store], Any]


@dataclass(frozen=True)
class _Asked:
    step: Step
    answer: "Future[Any]"


class Spool:
    """A durable store of records on the device. Open it, `run` steps on its Store, close it.

    `totals` is what the last commit left; `moved_aside` is where a broken file went when this one was opened. What was
    whole in it is in this one. `is_older`: commits that had been made were no longer there.
    """

    totals: Totals
    moved_aside: Path | None
    is_older: bool

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._queue: SimpleQueue[_Asked | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    async def open(self) -> None:
        """SpoolLockedError while another process has the file; EdgeError when it can't be opened."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(target=self._serve, args=(opened,), name="quietus-edge-spool", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(opened)

    async def run(self, step: Callable[[Store], Result]) -> Result:
        """What the step returned, after the commit. What it raised; SpoolFullError when the disk is full."""
        if self._closed:
            raise EdgeError("the client is closed")
        answer: Future[Result] = Future()
        self._queue.put(_Asked(step, answer))
        return await asyncio.wrap_future(answer)

    async def close(self) -> None:
        self._closed = True
        if self._thread:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _serve(self, opened: "Future[None]") -> None:
        try:
            file = open_file(self._path)
            store = Store(file.connection, self._max_bytes)
            self.is_older = _goes_back(file, store)
        except Exception as error:  # whatever it is, open() must hear of it
            opened.set_exception(error)
            return
        self.moved_aside = file.moved_aside
        self.totals = store.totals()
        opened.set_result(None)
        while asked := self._queue.get():
            group, closing = self._gather(asked)
            self._commit(file, store, group)
            if closing:
                break
        file.close()

    def _gather(self, first: _Asked) -> tuple[list[_Asked], bool]:
        """Everything that was asked by now, and whether to close after it."""
        group = [first]
        while len(group) < MOST_STEPS_IN_A_TRANSACTION:
            try:
                asked = self._queue.get_nowait()
            except Empty:
                break
            if asked is None:
                return group, True
            group.append(asked)
        return group, False

    def _commit(self, file: OpenFile, store: Store, asked_for: list[_Asked]) -> None:
        connection = file.connection
        changes = connection.total_changes
        group = [asked for asked in asked_for if asked.answer.set_running_or_notify_cancel()]
        outcomes: list[tuple[Any, EdgeError | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for asked in group:
                try:
                    outcomes.append((asked.step(store), None))
                except EdgeError as error:
                    outcomes.append((None, error))
            if connection.total_changes != changes:
                store.count_commit()
            connection.execute("COMMIT")
            file.mark.set(store.commits)
        except BaseException as error:
            with suppress(sqlite3.Error):  # a file that can't even be read fails the next step too
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                store.reload()
            outcomes = [(None, _explained(error))] * len(group)
        self.totals = store.totals()
        for asked, (result, failure) in zip(group, outcomes, strict=True):
            if failure:
                asked.answer.set_exception(failure)
            else:
                asked.answer.set_result(result)


def _goes_back(file: OpenFile, store: Store) -> bool:
    """Whether the spool lacks commits that its mark tells of; then it is made fit to go on from here. Of one that was
    broken that is known already.
    """
    commits = file.mark.commits()
    if file.moved_aside or commits <= store.commits:
        file.mark.set(store.commits)
        return False
    with file.connection:
        file.connection.execute("BEGIN IMMEDIATE")
        store.go_on_from(commits)
    return True


def _explained(error: BaseException) -> EdgeError:
    if isinstance(error, sqlite3.OperationalError) and _code(error) == sqlite3.SQLITE_FULL:
        return SpoolFullError("the disk is full")
    if isinstance(error, sqlite3.DatabaseError) and _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return SpoolBrokenError("the spool file is damaged")
    return EdgeError(f"the spool failed: {error!r}")


def _code(error: sqlite3.Error) -> int:
    """The primary one; errors that Python itself found have none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
