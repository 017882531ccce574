"""How what a client batch brought of a chunk stands in chunk_inputs, and how it is read from there."""

from functools import lru_cache
from struct import Struct

import asyncpg

from libs.common.db.copying import FLOAT4_TYPE, INT2_TYPE, NULL, array_head, boolean, double, microseconds, words
from services.fusion.fold import BatchOrigin
from services.fusion.science.inputs import ChunkInputs, Said, Shown
from services.fusion.vocabulary import CrisisSignal, Emotion, Level

_SHOWN = ("emotion", "probability", "confidence", "distribution", "model_version")
_SAID = ("level", "probability", "confidence", "valence", "deflection", "signals", "model_version")
COLUMNS = (
    "session_id",
    "user_id",
    "chunk_id",
    "batch_number",
    "capture_start_time",
    "capture_end_time",
    "receive_time",
    *(f"vision_{part}" for part in _SHOWN),
    *(f"audio_{part}" for part in _SHOWN),
    *(f"text_{part}" for part in _SAID),
)

_PLACE = Struct(">hi16si16si16siqiqiqiq")
_JUDGEMENT = Struct(">ihidid")  # emotion or level, probability, confidence
_SHARES = Struct(">24s" + len(Emotion) * "if")
_SHARES_HEAD = array_head(FLOAT4_TYPE, len(Emotion), 8)
_INT2 = Struct(">ih")
_NOTHING_SHOWN = len(_SHOWN) * NULL
_NOTHING_SAID = len(_SAID) * NULL


def packed(batch: BatchOrigin, chunk: ChunkInputs) -> bytes:
    """For COPY, in the order of COLUMNS."""
    place = _PLACE.pack(
        len(COLUMNS),
        16,
        batch.session_id.bytes,
        16,
        batch.user_id.bytes,
        16,
        chunk.chunk_id.bytes,
        8,
        batch.batch_number,
        8,
        microseconds(chunk.capture_start_time),
        8,
        microseconds(chunk.capture_end_time),
        8,
        microseconds(batch.receive_time),
    )
    return b"".join((place, *_shown_fields(chunk.vision), *_shown_fields(chunk.audio), *_said_fields(chunk.text)))


def _shown_fields(shown: Shown | None) -> tuple[bytes, ...]:
    if shown is None:
        return (_NOTHING_SHOWN,)
    emotion, probability, confidence, distribution, model_version = shown
    return (
        _JUDGEMENT.pack(2, emotion, 8, probability, 8, confidence),
        NULL if distribution is None else _shares(distribution),
        words(model_version),
    )


def _said_fields(said: Said | None) -> tuple[bytes, ...]:
    if said is None:
        return (_NOTHING_SAID,)
    level, probability, confidence, valence, deflection, signals, model_version = said
    return (
        _JUDGEMENT.pack(2, level, 8, probability, 8, confidence),
        double(valence),
        boolean(deflection),
        _signals(signals),
        words(model_version),
    )


def _shares(shares: tuple[float, ...]) -> bytes:
    one, two, three, four, five, six, seven, eight, nine, ten = shares
    return _SHARES.pack(
        _SHARES_HEAD, 4, one, 4, two, 4, three, 4, four, 4, five, 4, six, 4, seven, 4, eight, 4, nine, 4, ten
    )


@lru_cache
def _signals(signals: frozenset[CrisisSignal]) -> bytes:
    items = [_INT2.pack(2, signal) for signal in sorted(signals)]
    return b"".join((array_head(INT2_TYPE, len(items), _INT2.size), *items))


def inputs_in(row: "asyncpg.Record") -> ChunkInputs:
    """What one batch brought."""
    return ChunkInputs(
        chunk_id=row["chunk_id"],
        capture_start_time=row["capture_start_time"],
        capture_end_time=row["capture_end_time"],
        vision=_shown(row, "vision"),
        audio=_shown(row, "audio"),
        text=_said(row),
    )


def _shown(row: "asyncpg.Record", modality: str) -> Shown | None:
    emotion, probability, confidence, distribution, model_version = (row[f"{modality}_{part}"] for part in _SHOWN)
    if emotion is None:
        return None
    if distribution is not None:
        distribution = tuple(distribution)
        if len(distribution) != len(Emotion):
            raise ValueError("not a share for each emotion")
    return Shown(Emotion(emotion), probability, confidence, distribution, model_version)


def _said(row: "asyncpg.Record") -> Said | None:
    if row["text_level"] is None:
        return None
    return Said(
        level=Level(row["text_level"]),
        probability=row["text_probability"],
        confidence=row["text_confidence"],
        valence=row["text_valence"],
        deflection=row["text_deflection"],
        signals=frozenset(map(CrisisSignal, row["text_signals"])),
        model_version=row["text_model_version"],
    )
