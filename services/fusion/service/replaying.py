"""Replays whole sessions: fuses them again from their inputs and compares what comes out with what is stored."""

import json
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

import asyncpg

from libs.common.db.database import Database, Transaction
from libs.common.people.access import Access
from libs.common.people.store import is_in_care
from libs.common.rpc.caller import Caller
from libs.common.rpc.errors import AppError, ErrorKind
from quietus.common.v1.options_pb2 import ROLE_COUNSELOR
from services.fusion.differences import Difference, Part, ReplayedRow, difference, missing_result
from services.fusion.fold import ChunkResult, Standing, advanced, finding_of
from services.fusion.records import PageKey
from services.fusion.science.fuse import FusedChunk, fuse_chunks
from services.fusion.science.inputs import ChunkInputs, InputArrays
from services.fusion.science.model import FusionModel
from services.fusion.service.registry import KnownModels
from services.fusion.store import accounts, inputs, results, sessions
from services.fusion.store.result_rows import COLUMNS, FITTED_COLUMNS, result_in, row_of
from services.fusion.store.sessions import SessionTail

SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
PART_CHUNKS = 200
MOST_MISSING = 100
_THE_END: PageKey = (datetime(9999, 12, 30, tzinfo=UTC), UUID(int=(1 << 128) - 1))
# What a chunk's inputs and the results before it don't say: how often it was touched, and by which batch last.
_NOT_REPLAYED = frozenset({"revision", "batch_number", "numpy_version"})

Row: TypeAlias = "asyncpg.Record"


@dataclass(frozen=True, slots=True)
class _Stored:
    """One part as one snapshot has it."""

    versions: Mapping[str, FusionModel]
    user_id: UUID
    rows: Sequence[Row]
    inputs: Mapping[UUID, ChunkInputs]
    records: Mapping[UUID, Row]
    before: Standing  # of the session, before the first row
    total_chunks: int
    tail: SessionTail | None  # of the last part alone
    missing: Sequence[UUID]  # likewise


@dataclass(slots=True)
class _Carried:
    """Where the chunks so far leave the session: as it is stored, and as it comes out."""

    stored: Standing
    replayed: Standing

    def standing(self, before: Standing) -> Standing:
        """As it comes out, unless late chunks have moved what is stored meanwhile."""
        return self.replayed if repr(before) == repr(self.stored) else before


class SessionReplay:
    def __init__(self, database: Database, access: Access, models: KnownModels) -> None:
        self._database = database
        self._access = access
        self._models = models

    async def parts(self, caller: Caller, session_id: UUID, after: PageKey) -> AsyncGenerator[Part]:
        """Each part is read in a snapshot of its own: a session may go on meanwhile, and a slow reader holds up
        nothing.

        A part goes on from where the one before it came out; the first from what is stored of the chunk before it. So
        parts of several calls compare as much as one call does.
        NOT_FOUND SESSION_NOT_FOUND. FAILED_PRECONDITION INPUTS_EXPIRED, MODEL_NOT_FOUND.
        """
        carried: _Carried | None = None
        while True:
            async with self._database.read() as tx:
                user_id = await self._owner(tx, caller, session_id, is_first=carried is None)
                stored = await self._read(tx, session_id, user_id, after)
            part, carried = _replayed(session_id, stored, carried)
            yield part
            if part.last is None:
                return
            after = part.last

    async def _owner(self, tx: Transaction, caller: Caller, session_id: UUID, *, is_first: bool) -> UUID:
        """A counselor's look is audited once, and ends with the care."""
        owner = await sessions.read_owner(tx, session_id)
        if is_first or owner is None or caller.role != ROLE_COUNSELOR:
            await self._access.check_owner(tx, caller, owner, SESSION_NOT_FOUND)
        elif caller.user_id is None or not await is_in_care(tx, caller.user_id, owner):
            raise AppError(ErrorKind.NOT_FOUND, SESSION_NOT_FOUND)
        assert owner is not None
        return owner

    async def _read(self, tx: Transaction, session_id: UUID, user_id: UUID, after: PageKey) -> _Stored:
        rows = await results.read_stored_page(tx, session_id, after, PART_CHUNKS + 1)
        is_last, rows = len(rows) <= PART_CHUNKS, rows[:PART_CHUNKS]
        versions = await self._models.versions(tx)
        for version in {row["model_version"] for row in rows}:
            versions[version]  # refuses an unknown one
        first, last = (_key(rows[0]), _key(rows[-1])) if rows else (_THE_END, _THE_END)
        known = await inputs.read(tx, [(session_id, row["chunk_id"]) for row in rows])
        chunk_inputs = known.get(session_id, {})
        if len(chunk_inputs) < len(rows):
            raise AppError(ErrorKind.FAILED_PRECONDITION, "INPUTS_EXPIRED")
        before = await results.read_standings_before(tx, [(session_id, *first)])
        return _Stored(
            versions=versions,
            user_id=user_id,
            rows=rows,
            inputs=chunk_inputs,
            records=await accounts.read_stored_records(tx, session_id, after, _THE_END if is_last else last),
            before=before[session_id],
            total_chunks=await results.count(tx, session_id),
            tail=(await sessions.read_tails(tx, [session_id])).get(session_id) if is_last else None,
            missing=await results.read_missing(tx, session_id, MOST_MISSING) if is_last else (),
        )


def _replayed(session_id: UUID, stored: _Stored, carried: _Carried | None) -> tuple[Part, _Carried]:
    standing = carried.standing(stored.before) if carried else stored.before
    fused = _fused(stored)
    differences: list[Difference | None] = []
    newest, stored_standing = None, stored.before
    for row in stored.rows:
        kept = result_in(row)
        model, chunk = stored.versions[kept.model_version], stored.inputs[kept.chunk_id]
        newest = advanced(model, standing.state, _placed(kept, chunk, fused[kept.chunk_id]))
        of_row = [
            _result_difference(session_id, stored.user_id, row, newest),
            _record_difference(session_id, stored, model, newest),
        ]
        differences.extend(of_row)
        stored_standing = _with_judged(kept, newest)
        is_rounded = any(one is not None and one.rounding_only for one in of_row)
        standing = stored_standing if is_rounded else newest.standing
    differences.extend(_strays(stored))
    is_last = stored.tail is not None or not stored.rows
    if stored.tail is not None and newest is not None:
        differences.append(_state_difference(stored.tail, replace(newest, standing=standing), stored.total_chunks))
    differences.extend(map(missing_result, stored.missing))
    part = Part(
        chunks=len(stored.rows),
        total_chunks=stored.total_chunks,
        differences=[one for one in differences if one is not None],
        last=None if is_last else _key(stored.rows[-1]),
    )
    return part, _Carried(stored_standing, standing)


def _fused(stored: _Stored) -> Mapping[UUID, FusedChunk]:
    chunks_of: defaultdict[str, list[UUID]] = defaultdict(list)
    for row in stored.rows:
        chunks_of[row["model_version"]].append(row["chunk_id"])
    return {
        chunk_id: fused
        for version, chunk_ids in chunks_of.items()
        for chunk_id, fused in zip(
            chunk_ids,
            fuse_chunks(stored.versions[version], InputArrays.of([stored.inputs[one] for one in chunk_ids])),
            strict=True,
        )
    }


def _placed(kept: ChunkResult, chunk: ChunkInputs, fused: FusedChunk) -> ChunkResult:
    return replace(
        kept, capture_start_time=chunk.capture_start_time, capture_end_time=chunk.capture_end_time, fused=fused
    )


def _with_judged(kept: ChunkResult, replayed: ChunkResult) -> Standing:
    """A row doesn't repeat which chunks before it were judged."""
    return replace(kept.standing, state=replace(kept.state, judged=replayed.state.judged))


def _result_difference(session_id: UUID, user_id: UUID, row: Row, replayed: ChunkResult) -> Difference | None:
    values = dict(zip(COLUMNS, row_of(session_id, user_id, replayed), strict=True))
    values["modalities_used"] = json.loads(values["modalities_used"])
    for name in _NOT_REPLAYED:
        del values[name]
    for name in FITTED_COLUMNS:
        # Null also in rows that are older than the column.
        if row[name] is None and not values[name]:
            del values[name]
    return difference(ReplayedRow.RESULT, replayed.chunk_id, dict(row), values, row["numpy_version"])


def _record_difference(
    session_id: UUID, stored: _Stored, model: FusionModel, replayed: ChunkResult
) -> Difference | None:
    finding, values = finding_of(model, replayed), None
    if finding is not None:
        record = accounts.record_of(model, session_id, stored.user_id, replayed, finding)
        values = dict(zip(accounts.RECORD_COLUMNS, record, strict=True))
    record_row = stored.records.get(replayed.chunk_id)
    row = None if record_row is None else dict(record_row)
    return difference(ReplayedRow.DISSONANCE_RECORD, replayed.chunk_id, row, values, replayed.arithmetic)


def _strays(stored: _Stored) -> Sequence[Difference | None]:
    """Records in this part of the session that belong to none of its chunks."""
    chunk_ids = {row["chunk_id"] for row in stored.rows}
    return [
        difference(ReplayedRow.DISSONANCE_RECORD, chunk_id, dict(row), None)
        for chunk_id, row in stored.records.items()
        if chunk_id not in chunk_ids
    ]


def _state_difference(stored: SessionTail, newest: ChunkResult, chunks: int) -> Difference | None:
    replayed = SessionTail(
        session_id=stored.session_id,
        user_id=stored.user_id,
        chunks=chunks,
        chunk_id=newest.chunk_id,
        capture_end_time=newest.capture_end_time,
        standing=newest.standing,
    )
    kept, comes_out = (dict(zip(sessions.COLUMNS, sessions.row_of(tail), strict=True)) for tail in (stored, replayed))
    return difference(ReplayedRow.SESSION_STATE, None, kept, comes_out)


def _key(row: Row) -> PageKey:
    return row["capture_end_time"], row["chunk_id"]
