"""Results as rows for COPY: the same as result_rows.row_of makes, in bytes."""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from uuid import UUID

import numpy as np

from libs.common.byte_rows import ByteRows, Bytes
from libs.common.db.copying import add_fields, boolean, microseconds, numeric, sized, timestamp, words
from libs.common.ids import DerivedIds
from services.fusion.columns import NUMBERS, FusedColumns, Modalities, modalities_in
from services.fusion.fold import ChunkResult
from services.fusion.science.inputs import Floats
from services.fusion.science.session_state import LevelCause
from services.fusion.store.result_rows import COLUMNS, modalities_used
from services.fusion.vocabulary import SHOWING_MODALITIES, Direction, Emotion, Level

_ROUNDED = [NUMBERS.index(name) for name in ("score", "confidence")]
_ID = Struct(">i16s")
_BEFORE_ID = Struct(">hi").pack(len(COLUMNS), 16)
_PLACE_AND_STATE = Struct(f">{len(_BEFORE_ID)}s16s{2 * _ID.size}si16s" + 3 * "iq" + "iiiq" + 3 * "id")


def packed(session_id: UUID, user_id: UUID, result: ChunkResult, fused: bytes) -> bytes:
    """In the order of COLUMNS; `fused`: the fields that fused_fields makes of its chunk."""
    standing, chunk_id = result.standing, result.chunk_id
    state, end = standing.state, microseconds(result.capture_end_time)
    ids, session_and_user = _of_session(session_id, user_id)
    place_and_state = _PLACE_AND_STATE.pack(
        _BEFORE_ID,
        ids.bytes_of(chunk_id),
        session_and_user,
        16,
        chunk_id.bytes,
        8,
        end,
        8,
        microseconds(result.capture_start_time),
        8,
        end,
        4,
        result.revision,
        8,
        result.batch_number,
        8,
        state.evidence_logit,
        8,
        state.evidence_seconds,
        8,
        state.score,
    )
    verdict = _verdict(state.level, result.model_version, result.arithmetic, state.cause, standing.reason)
    return b"".join((place_and_state, verdict, timestamp(state.critical_until), timestamp(state.high_until), fused))


@lru_cache(maxsize=16_384)
def _of_session(session_id: UUID, user_id: UUID) -> tuple[DerivedIds, bytes]:
    ids = _ID.pack(16, session_id.bytes) + _ID.pack(16, user_id.bytes)
    return DerivedIds("fusion_result", session_id), ids


@lru_cache(maxsize=4096)
def _verdict(level: Level, model_version: str, arithmetic: str, cause: LevelCause, reason: str) -> bytes:
    """The columns from final_risk to leading_reason: many rows say the same in them."""
    return b"".join(map(words, (level.label, model_version, arithmetic, cause.value, reason)))


def fused_fields(columns: FusedColumns) -> Sequence[bytes]:
    """The fields of each chunk from exact_score to critical_cue; of one chunk at least."""
    count, _, parts = columns.contributions.shape
    doubles = np.concatenate(
        (columns.numbers, columns.contributions.reshape(count, -1), columns.emotions, columns.valences), axis=1
    )
    known = ~np.isnan(doubles)
    contributed = slice(len(NUMBERS), len(NUMBERS) + columns.contributes.shape[1] * parts)
    known[:, contributed] = columns.contributes.repeat(parts, axis=1)
    rows = ByteRows(count)
    add_fields(rows, doubles, known)
    rows.add(_rounded(columns.numbers[:, _ROUNDED]))
    rows.add_strings([_few_valued(*values) for values in columns.few_valued()])
    return rows.rows()


def _rounded(shares: Floats) -> Bytes:
    """Fields of four decimals from shares (n, m), in [0, 1]; rounded as decimals are, which a product isn't."""
    rounded = [round(share, 4) for share in shares.ravel().tolist()]
    return _numerics()[np.rint(np.multiply(rounded, 10_000)).astype(np.int64)].reshape(len(shares), -1)


@lru_cache
def _numerics() -> Bytes:
    fields = [numeric(ten_thousandths) for ten_thousandths in range(10_001)]
    return np.frombuffer(b"".join(fields), np.uint8).reshape(len(fields), -1)


@lru_cache(maxsize=4096)
def _few_valued(
    contributes: Modalities, fitted: Modalities, shown_emotion: int, direction: int, floor: int, critical_cue: bool
) -> bytes:
    """The columns from modalities_used to critical_cue."""
    used = modalities_in(contributes)
    return b"".join(
        (
            sized(b"\x01" + modalities_used(used).encode()),  # the version of jsonb
            *(boolean(fitted[one - 1] if one in used else None) for one in SHOWING_MODALITIES),
            words(Emotion(shown_emotion).label if shown_emotion else None),
            words(Direction(direction).label),
            words(Level(floor).label if floor else None),
            boolean(critical_cue),
        )
    )
