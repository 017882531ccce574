"""Rows for binary COPY: what a generic codec makes of a numeric alone costs more than a row that is made of bytes."""

from collections.abc import Iterable, Sequence
from struct import Struct
from uuid import UUID

from services.ingest.content.chunk import EPOCH_2000, ID_FIELD
from services.ingest.vocabulary import FEATURES, Modality

_BEFORE_CONTENT = (
    "session_id",
    "user_id",
    "receive_time",
    "batch_number",
    "id",
    "chunk_id",
    "capture_start_time",
    "capture_end_time",
    "batch_index",
    "content_digest",
)
_DISTRIBUTION = ("distribution_labels", "distribution_probabilities")
# In the order of content.modalities.
_CONTENT = {
    Modality.VISION: ("emotion", "confidence", "distress_score", "frames_processed", *_DISTRIBUTION),
    Modality.AUDIO: ("emotion", "stress_score", "confidence", *_DISTRIBUTION, *FEATURES),
    Modality.TEXT: (
        "risk_level",
        "distress_probability",
        "confidence",
        "valence",
        "cues",
        "transcript",
        "transcript_state",
    ),
}
COLUMNS = {modality: (*_BEFORE_CONTENT, *columns, "model_version") for modality, columns in _CONTENT.items()}

_COUNT = {modality: Struct(">h").pack(len(columns)) for modality, columns in COLUMNS.items()}
_SESSION = Struct(">i16si16s")
_BATCH = Struct(">iqiq")
_INDEX_AND_DIGEST = Struct(">ihi32s")


def session_fields(session_id: UUID, user_id: UUID) -> bytes:
    return _SESSION.pack(16, session_id.bytes, 16, user_id.bytes)


def batch_fields(receive_time: int, batch_number: int) -> bytes:
    """`receive_time` in microseconds since 1970."""
    return _BATCH.pack(8, receive_time - EPOCH_2000, 8, batch_number)


def rows(
    modalities: Iterable[Modality],
    batches: Iterable[bytes],
    indexes: Iterable[int],
    digests: Iterable[bytes],
    chunks: Sequence[bytes],
    contents: Iterable[bytes],
) -> list[bytes]:
    """`batches` are session_fields and batch_fields; a row's id is its chunk id."""
    columns = (
        map(_COUNT.__getitem__, modalities),
        batches,
        [chunk[ID_FIELD] for chunk in chunks],
        chunks,
        [_INDEX_AND_DIGEST.pack(2, index, 32, digest) for index, digest in zip(indexes, digests, strict=True)],
        contents,
    )
    return list(map(b"".join, zip(*columns, strict=True)))
