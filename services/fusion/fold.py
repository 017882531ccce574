"""Folds client batches into a session's results. Which order they come in, and how they are grouped, leaves the
state alone.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.common.values import value
from services.fusion.explanation import NO_CONCERN, leading_reason
from services.fusion.science.arithmetic import ARITHMETIC
from services.fusion.science.dissonance import Finding, interpret
from services.fusion.science.fuse import FusedChunk
from services.fusion.science.inputs import ChunkInputs, Window
from services.fusion.science.model import FusionModel
from services.fusion.science.session_state import START, SessionState, advance, judged_after
from services.fusion.vocabulary import Level

SCORE_DECIMALS = 4


@value
class BatchOrigin:
    """Whose client batch it is, of which session, and when ingest received it."""

    user_id: UUID
    anonymous_id: str
    session_id: UUID
    receive_time: datetime
    batch_number: int


@value
class ClientBatch(BatchOrigin):
    """What the device of one session sent together: of at least one chunk, each chunk once."""

    chunks: Sequence[ChunkInputs]


@value
class Standing:
    """Where a session stands: all that the result of its next chunk depends on."""

    state: SessionState = START
    reason: str = NO_CONCERN  # the leading reason of the level


_NOWHERE = Standing()


@value
class ChunkResult(Window):
    """One chunk, fused, and where the session stands after it."""

    revision: int
    batch_number: int  # the newest client batch that touched it
    model_version: str
    fused: FusedChunk
    standing: Standing
    arithmetic: str = ARITHMETIC  # what `fused` was calculated on

    @property
    def state(self) -> SessionState:
        return self.standing.state


@value
class ChangedResult:
    """A result to be written, with what goes with it."""

    result: ChunkResult
    is_stored: bool  # an older revision of it is in the table
    is_explained: bool  # an explanation is kept with it
    finding: Finding | None  # of dissonance


@dataclass(frozen=True, slots=True)
class Models:
    """Every version that a result names, and the one that new results are made with."""

    versions: Mapping[str, FusionModel]
    active: FusionModel


class SessionFold:
    """The part of one session that some batches may change: its results from the first such chunk to the newest, in
    the order of capture, the inputs of the chunks that are touched again, and the standing before them all.
    """

    def __init__(
        self,
        models: Models,
        before: Standing,
        results: Sequence[ChunkResult],
        inputs: Mapping[UUID, ChunkInputs],
    ) -> None:
        self._models = models
        self._before = before
        self._inputs = dict(inputs)
        self.stored = frozenset(result.chunk_id for result in results)
        self._results = _with_judged(before.state, results)
        self._keys = [result.key for result in results]
        self._changed: set[UUID] = set()

    def merge(self, batch: ClientBatch) -> Sequence[ChunkInputs]:
        """Takes in what a batch brings; returns the chunks that it touches, as they now are, in the order of
        capture.
        """
        touched = []
        for chunk in sorted(batch.chunks, key=lambda chunk: chunk.key):
            known = self._inputs.get(chunk.chunk_id)
            whole = known.joined(chunk) if known else chunk
            self._inputs[chunk.chunk_id] = whole
            touched.append(whole)
        return touched

    def apply(
        self, batch_number: int, touched: Sequence[ChunkInputs], fused: Sequence[FusedChunk]
    ) -> Sequence[ChunkResult]:
        """Puts the touched chunks in their places and goes on from the first of them for as long as states change:
        evidence fades, so a late chunk doesn't reach through a whole day.

        Returns the touched ones at their new revision, and those later ones whose level changed, which count as
        touched too. So does the newest of the session when its score moved: followers take from it where the session
        stands.
        """
        if not self._keys or self._keys[-1] < touched[0].key:
            return [self._grow(batch_number, *one) for one in zip(touched, fused, strict=True)]
        for chunk, chunk_fused in zip(touched, fused, strict=True):
            self._place(batch_number, chunk, chunk_fused)
        touched_ids = {chunk.chunk_id for chunk in touched}
        newest = len(self._results) - 1
        told = []
        for place in range(bisect_left(self._keys, touched[0].key), len(self._results)):
            before = self._results[place]
            after = advanced(self._models.versions[before.model_version], self._standing_before(place).state, before)
            if before.chunk_id in touched_ids:
                told.append(after)
            elif after.standing == before.standing:
                # Whether it is explained depends on the standing before it too, and that has changed.
                self._changed.add(before.chunk_id)
                if before.key > touched[-1].key:
                    break
                continue
            elif after.state.level is not before.state.level or (place == newest and _score_moved(before, after)):
                after = replace(after, revision=before.revision + 1, batch_number=batch_number)
                told.append(after)
            self._changed.add(after.chunk_id)
            self._results[place] = after
        return told

    def _grow(self, batch_number: int, chunk: ChunkInputs, fused: FusedChunk) -> ChunkResult:
        """At the session's end, as most chunks come: the same as if it were placed and the rest then advanced."""
        model, before = self._models.active, self._standing_before(len(self._results))
        state = advance(model, before.state, chunk, fused)
        result = ChunkResult(
            chunk.chunk_id,
            chunk.capture_start_time,
            chunk.capture_end_time,
            1,
            batch_number,
            model.version,
            fused,
            Standing(state, leading_reason(fused, state.level, state.cause)),
        )
        self._keys.append(chunk.key)
        self._results.append(result)
        self._changed.add(chunk.chunk_id)
        return result

    def _place(self, batch_number: int, chunk: ChunkInputs, fused: FusedChunk) -> None:
        """At its new revision, and not advanced yet."""
        key = chunk.key
        place = bisect_left(self._keys, key)
        is_known = place < len(self._keys) and self._keys[place] == key
        placed = ChunkResult(
            chunk.chunk_id,
            chunk.capture_start_time,
            chunk.capture_end_time,
            self._results[place].revision + 1 if is_known else 1,
            batch_number,
            self._models.active.version,
            fused,
            _NOWHERE,
        )
        if is_known:
            self._results[place] = placed
        else:
            self._keys.insert(place, key)
            self._results.insert(place, placed)

    def _standing_before(self, place: int) -> Standing:
        return self._results[place - 1].standing if place else self._before

    @property
    def newest(self) -> ChunkResult:
        return self._results[-1]

    @property
    def new_chunks(self) -> int:
        return len(self._results) - len(self.stored)

    def changes(self) -> Sequence[ChangedResult]:
        """What is to be written, in the order of capture."""
        changes, before = [], self._before
        for result in self._results:
            if result.chunk_id in self._changed:
                finding = finding_of(self._models.versions[result.model_version], result)
                is_stored = result.chunk_id in self.stored
                changes.append(ChangedResult(result, is_stored, _is_explained(before, result.standing), finding))
            before = result.standing
        return changes


def advanced(model: FusionModel, before: SessionState, result: ChunkResult) -> ChunkResult:
    """The result with the standing that follows from the state before it."""
    fused = result.fused
    state = advance(model, before, result, fused)
    return ChunkResult(
        result.chunk_id,
        result.capture_start_time,
        result.capture_end_time,
        result.revision,
        result.batch_number,
        result.model_version,
        fused,
        Standing(state, leading_reason(fused, state.level, state.cause)),
        result.arithmetic,
    )


def finding_of(model: FusionModel, result: ChunkResult) -> Finding | None:
    return interpret(model.dissonance, result.fused.direction, result.fused.dissonance_score, result.state.judged)


def _score_moved(before: ChunkResult, after: ChunkResult) -> bool:
    """By as much as the table's rounded column shows."""
    return round(before.state.score, SCORE_DECIMALS) != round(after.state.score, SCORE_DECIMALS)


def _is_explained(before: Standing, after: Standing) -> bool:
    return (
        after.state.level >= Level.HIGH or after.state.level is not before.state.level or after.reason != before.reason
    )


def _with_judged(before: SessionState, results: Sequence[ChunkResult]) -> list[ChunkResult]:
    """Stored results don't repeat which chunks before them were judged: it follows from the directions."""
    judged = before.judged
    rebuilt = []
    for result in results:
        judged = judged_after(judged, result.chunk_id, result.fused.direction)
        standing = replace(result.standing, state=replace(result.state, judged=judged))
        rebuilt.append(replace(result, standing=standing))
    return rebuilt
