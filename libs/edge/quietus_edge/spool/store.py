"""All SQL of the spool. Each method is one step of a transaction that the writer opens and commits.

A method checks before it writes, so that one which raises spoils nothing for the others in the transaction.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from quietus.ingest.v1.predictions_pb2 import TRANSCRIPT_STATE_NO_KEY, Prediction, PredictionBatch
from quietus_edge.errors import InvalidInputError, SessionEndedError, SpoolBrokenError, SpoolFullError
from quietus_edge.spool.rows import Batch, Joined, SpooledSession, Totals, batch, instant, microseconds
from quietus_edge.spool.schema import is_whole

ROW_OVERHEAD_BYTES = 256
MOST_RECORDS_IN_A_BATCH = 32
DROPPED_OLDEST = "SPOOL_FULL_OLDEST_DROPPED"
DROPPED_NEWEST = "SPOOL_FULL_NEWEST_REFUSED"
SENDER_ID = "sender_id"
COMMITS, GONE_BACK = ("commits", ""), ("gone_back", "")


def _joined_fact(session_id: UUID) -> str:
    return f"joined:{session_id}"


class Store:
    """Sessions, records and counters of one file, never more than `max_bytes` of content."""

    def __init__(self, connection: sqlite3.Connection, max_bytes: int) -> None:
        self._db = connection
        self._max_bytes = max_bytes
        self.reload()

    def reload(self) -> None:
        """Reads anew what is kept in memory, after a rollback."""
        rows = self._db.execute("SELECT name, reason, count FROM counters")
        self._counters: Counter[tuple[str, str]] = Counter({(name, reason): count for name, reason, count in rows})
        records, self._waiting, content = self._db.execute(
            "SELECT count(*), coalesce(sum(predictions), 0), coalesce(sum(length(content)), 0) FROM records"
        ).fetchone()
        (self._sessions,) = self._db.execute("SELECT count(*) FROM sessions").fetchone()
        self._used_bytes = content + ROW_OVERHEAD_BYTES * (records + self._sessions)

    def totals(self) -> Totals:
        return Totals(self._waiting, self._sessions, self._used_bytes, dict(self._counters))

    # the spool itself

    @property
    def commits(self) -> int:
        """That changed something."""
        return self._counters[COMMITS]

    def count_commit(self) -> None:
        self._count(*COMMITS, 1)

    def go_on_from(self, commits: int) -> None:
        """Some of so many were lost. Batches that are numbered from here on are another sender's: numbers that were
        lost are taken, and what is numbered alike is taken for the same.
        """
        self._db.execute("DELETE FROM facts WHERE name = ?", (SENDER_ID,))
        self._count(*GONE_BACK, 1)
        self._count(*COMMITS, commits - self.commits)

    # sessions

    def open_session(self, session_id: UUID, start: datetime) -> int:
        """The session's key. InvalidInputError for an id that is taken, SpoolFullError when no room can be made."""
        if self._db.execute("SELECT 1 FROM sessions WHERE session_id = ?", (str(session_id),)).fetchone():
            raise InvalidInputError("the spool has a session of that id already")
        if not self._make_room(ROW_OVERHEAD_BYTES):
            raise SpoolFullError("the spool is full of records that point to danger")
        at = microseconds(start)
        self._sessions += 1
        self._used_bytes += ROW_OVERHEAD_BYTES
        row = self._db.execute(
            "INSERT INTO sessions (session_id, start_us, last_capture_us) VALUES (?, ?, ?) RETURNING session_key",
            (str(session_id), at, at),
        ).fetchone()
        return int(row[0])

    def session(self, key: int) -> SpooledSession | None:
        row = self._db.execute(
            f"SELECT session_id, start_us, end_us, skew_us, last_capture_us, started, {is_whole('sessions')},"  # noqa: S608
            " (SELECT count(*) FROM records r WHERE r.session_key = s.session_key)"
            " FROM sessions s WHERE session_key = ?",
            (key,),
        ).fetchone()
        if row is None:
            return None
        session_id, start, end, skew, last_capture, started, whole, waiting = row
        _check(whole)
        return SpooledSession(
            key,
            UUID(session_id),
            instant(start),
            None if end is None else instant(end),
            None if skew is None else timedelta(microseconds=skew),
            instant(last_capture),
            bool(started),
            waiting,
            self._joined(UUID(session_id)),
        )

    def join_session(self, session_id: UUID, start: datetime, joined: Joined) -> int:
        """As open_session, for a session that another device started."""
        key = self.open_session(session_id, start)
        self.set_fact(_joined_fact(session_id), joined.encode())
        return key

    def _joined(self, session_id: UUID) -> Joined | None:
        value = self.fact(_joined_fact(session_id))
        return Joined(value.decode()) if value else None

    def go_on_as(self, key: int, session_id: UUID) -> None:
        """Gives what waits of a session to another one, which isn't started yet."""
        self._db.execute(
            "UPDATE sessions SET session_id = ?, started = 0 WHERE session_key = ?", (str(session_id), key)
        )

    def session_keys(self) -> list[int]:
        """All sessions that aren't done, oldest first."""
        return [key for (key,) in self._db.execute("SELECT session_key FROM sessions ORDER BY start_us")]

    def end_session(self, key: int, end: datetime | None = None) -> None:
        """Ends it at `end`, but never before its last capture; the first end stands."""
        at = 0 if end is None else microseconds(end)
        self._db.execute(
            "UPDATE sessions SET end_us = max(last_capture_us, ?) WHERE session_key = ? AND end_us IS NULL", (at, key)
        )

    def mark_started(self, key: int, started: bool) -> None:
        self._db.execute("UPDATE sessions SET started = ? WHERE session_key = ?", (started, key))

    def correct_clock(self, key: int, session_id: UUID, skew: timedelta) -> None:
        """Gives a session that no server has taken an id by the server's clock; the device's times stay."""
        self._db.execute(
            "UPDATE sessions SET session_id = ?, skew_us = ? WHERE session_key = ?",
            (str(session_id), skew // timedelta(microseconds=1), key),
        )

    def forget_session(self, key: int, reason: str = "") -> None:
        """Removes a session. Its unacknowledged records are counted as dropped, for `reason`."""
        records, predictions, content = self._db.execute(
            "SELECT count(*), coalesce(sum(predictions), 0), coalesce(sum(length(content)), 0)"
            " FROM records WHERE session_key = ?",
            (key,),
        ).fetchone()
        self._db.execute(
            "DELETE FROM facts WHERE name = (SELECT 'joined:' || session_id FROM sessions WHERE session_key = ?)",
            (key,),
        )
        removed = self._db.execute("DELETE FROM sessions WHERE session_key = ?", (key,)).rowcount
        self._sessions -= removed
        self._waiting -= predictions
        self._used_bytes -= content + ROW_OVERHEAD_BYTES * (records + removed)
        if predictions:
            self._count("dropped", reason, predictions)

    def is_drained(self) -> bool:
        """Whether nothing waits: no record, and no session whose end the server doesn't know."""
        return not self._waiting and not self._db.execute("SELECT 1 FROM sessions WHERE end_us IS NOT NULL").fetchone()

    # records

    def append(self, key: int, predictions: Iterable[Prediction], captured_until: datetime, *, danger: bool) -> None:
        """Keeps one record. SessionEndedError; SpoolFullError, which is counted, when there is no room to be made."""
        row = self._db.execute("SELECT end_us FROM sessions WHERE session_key = ?", (key,)).fetchone()
        if row is None or row[0] is not None:
            raise SessionEndedError("the session has ended")
        message = PredictionBatch(predictions=predictions)
        content, count = message.SerializeToString(), len(message.predictions)
        if not self._make_room(len(content) + ROW_OVERHEAD_BYTES):
            self._count("dropped", DROPPED_NEWEST, count)
            raise SpoolFullError("the spool is full of records that point to danger or are being sent")
        self._db.execute(
            "INSERT INTO records (session_key, danger, predictions, content) VALUES (?, ?, ?, ?)",
            (key, danger, count, content),
        )
        self._db.execute(
            "UPDATE sessions SET last_capture_us = max(last_capture_us, ?) WHERE session_key = ?",
            (microseconds(captured_until), key),
        )
        self._waiting += count
        self._used_bytes += len(content) + ROW_OVERHEAD_BYTES
        discarded = sum(one.text.transcript_state == TRANSCRIPT_STATE_NO_KEY for one in message.predictions)
        self._count("transcripts_discarded", "NO_KEY", discarded)

    def _make_room(self, size: int) -> bool:
        """Drops the oldest records that are in no batch and point to no danger. False, dropping none, if too few."""
        missing = self._used_bytes + size - self._max_bytes
        if missing <= 0:
            return True
        freed = dropped = 0
        rows = self._db.execute(
            "SELECT record_key, length(content), predictions FROM records"
            " WHERE batch_number IS NULL AND danger = 0 ORDER BY record_key"
        )
        while freed < missing and (row := rows.fetchone()):
            last, length, predictions = row
            freed += length + ROW_OVERHEAD_BYTES
            dropped += predictions
        rows.close()
        if freed < missing:
            return False
        self._db.execute("DELETE FROM records WHERE batch_number IS NULL AND danger = 0 AND record_key <= ?", (last,))
        self._used_bytes -= freed
        self._waiting -= dropped
        self._count("dropped", DROPPED_OLDEST, dropped)
        return True

    # batches

    def fixed_batches(self, key: int) -> list[Batch]:
        """Batches that were fixed before and may have been sent, in order."""
        contents: dict[int, list[bytes]] = {}
        for number, content, whole in self._db.execute(
            f"SELECT batch_number, content, {is_whole('records')} FROM records"  # noqa: S608
            " WHERE session_key = ? AND batch_number IS NOT NULL ORDER BY batch_number, record_key",
            (key,),
        ):
            _check(whole)
            contents.setdefault(number, []).append(content)
        skew = self._skew(key)
        return [batch(number, parts, skew) for number, parts in contents.items()]

    def fix_batch(self, key: int, max_predictions: int) -> Batch | None:
        """Gives the oldest records the session's next number, for good. None when there are none."""
        rows = self._db.execute(
            f"SELECT record_key, predictions, content, {is_whole('records')} FROM records"  # noqa: S608
            " WHERE session_key = ? AND batch_number IS NULL ORDER BY record_key LIMIT ?",
            (key, MOST_RECORDS_IN_A_BATCH),
        ).fetchall()
        contents: list[bytes] = []
        last, total = -1, 0
        for record_key, predictions, content, whole in rows:
            _check(whole)
            total += predictions
            if contents and total > max_predictions:
                break
            last = record_key
            contents.append(content)
        if not contents:
            return None
        (number,) = self._db.execute(
            "UPDATE sessions SET next_batch_number = next_batch_number + 1 WHERE session_key = ?"
            " RETURNING next_batch_number - 1",
            (key,),
        ).fetchone()
        self._db.execute(
            "UPDATE records SET batch_number = ? WHERE session_key = ? AND batch_number IS NULL AND record_key <= ?",
            (number, key, last),
        )
        return batch(number, contents, self._skew(key))

    def acknowledge(self, key: int, through: int, duplicates: int, refused: Mapping[str, int]) -> None:
        """Removes all batches up to `through` and counts what became of their predictions."""
        rows = self._db.execute(
            "DELETE FROM records WHERE session_key = ? AND batch_number <= ? RETURNING predictions, length(content)",
            (key, through),
        ).fetchall()
        predictions = sum(row[0] for row in rows)
        self._waiting -= predictions
        self._used_bytes -= sum(row[1] + ROW_OVERHEAD_BYTES for row in rows)
        self._count("acknowledged", "", predictions - sum(refused.values()))
        self._count("duplicates", "", duplicates)
        for reason, count in refused.items():
            self._count("refused", reason, count)

    def _skew(self, key: int) -> timedelta | None:
        row = self._db.execute("SELECT skew_us FROM sessions WHERE session_key = ?", (key,)).fetchone()
        return None if row is None or row[0] is None else timedelta(microseconds=row[0])

    # facts and counters

    def fact(self, name: str) -> bytes | None:
        row = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def set_fact(self, name: str, value: bytes) -> None:
        self._db.execute(
            "INSERT INTO facts (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (name, value),
        )

    def _count(self, name: str, reason: str, by: int) -> None:
        if by == 0:
            return
        self._counters[name, reason] += by
        self._db.execute(
            "INSERT INTO counters VALUES (?, ?, ?)"
            " ON CONFLICT (name, reason) DO UPDATE SET count = count + excluded.count",
            (name, reason, by),
        )


def _check(whole: int) -> None:
    """What isn't as it was written is never sent."""
    if not whole:
        raise SpoolBrokenError("the spool file is damaged")
