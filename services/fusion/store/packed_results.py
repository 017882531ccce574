"""Results as rows for COPY: the same as result_rows.row_of makes, in bytes."""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct
from uuid import UUID

import numpy as np

from libs.common.byte_rows import ByteRows, Bytes
from libs.common.db.copying import NULL, add_fields, boolean, microseconds, numeric, sized, timestamp, words
from libs.common.ids import DerivedIds
from services.fusion.columns import SUBSETS, FusedColumns
from services.fusion.fold import ChunkResult
from services.fusion.science.inputs import Floats
from services.fusion.science.session_state import LevelCause
from services.fusion.store.result_rows import COLUMNS, modalities_used
from services.fusion.vocabulary import SHOWING_MODALITIES, Direction, Emotion, Level

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
    """The fields of each chunk from exact_score to shown_valence."""
    rows = ByteRows(len(columns.numbers))
    add_fields(rows, columns.numbers)
    for shares in columns.numbers[:, 0], columns.numbers[:, 1]:
        rows.add(_rounded(shares))
    rows.add_choice(_MODALITIES_USED, columns.subset)
    for modality in SHOWING_MODALITIES:
        known, fitted = columns.contributes[:, modality - 1], columns.fitted[:, modality - 1]
        rows.add_choice(_FITTED, np.where(known, 1 + fitted, 0))
    rows.add_choice(_EMOTIONS, columns.shown_emotion)
    rows.add_choice(_DIRECTIONS, columns.direction)
    rows.add_choice(_FLOORS, columns.floor)
    rows.add_choice(_CUES, columns.critical_cue.astype(np.int64))
    of_modality = columns.contributions.shape[2]
    contributions = columns.contributions.reshape(len(columns.numbers), -1)
    add_fields(rows, contributions, np.repeat(columns.contributes, of_modality, axis=1))
    add_fields(rows, columns.emotions, ~np.isnan(columns.emotions))
    add_fields(rows, columns.valences, ~np.isnan(columns.valences))
    return rows.rows()


# Fields by the numbers of what they say.
_EMOTIONS = (NULL, *(words(emotion.label) for emotion in Emotion))
_DIRECTIONS = (NULL, *(words(direction.label) for direction in Direction))
_FLOORS = (NULL, *(words(level.label) for level in Level))
_CUES = (boolean(False), boolean(True))
_FITTED = (NULL, boolean(False), boolean(True))
_MODALITIES_USED = [sized(b"\x01" + modalities_used(used).encode()) for used in SUBSETS]  # the version of jsonb


def _rounded(shares: Floats) -> Bytes:
    """Fields of four decimals, (n, m), from n in [0, 1]; rounded as decimals are, which a product isn't."""
    return _numerics()[np.rint([10_000 * round(share, 4) for share in shares.tolist()]).astype(np.int64)]


@lru_cache
def _numerics() -> Bytes:
    fields = [numeric(ten_thousandths) for ten_thousandths in range(10_001)]
    return np.frombuffer(b"".join(fields), np.uint8).reshape(len(fields), -1)
