"""Parquet files for research, one a dataset. pyarrow is in the group `research`, not installed everywhere."""

import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from services.ingest.research import SCHEMA_VERSION, Names, dataset_of, offset_milliseconds
from services.ingest.store.research import SessionStart
from services.ingest.vocabulary import EMOTIONS, FEATURES, Modality

GROUP_ROWS = 10_000

_SCORE = pa.float64()
_NAME = pa.dictionary(pa.int32(), pa.string())
# Of every dataset; see docs/privacy.md for what they mean and what isn't here.
_COMMON = (
    pa.field("anonymous_id", _NAME, nullable=False),
    pa.field("session", _NAME, nullable=False),
    pa.field("session_month", pa.date32(), nullable=False),
    pa.field("chunk", pa.string(), nullable=False),
    pa.field("start_offset_ms", pa.int64(), nullable=False),
    pa.field("end_offset_ms", pa.int64(), nullable=False),
    pa.field("model_version", _NAME, nullable=False),
    pa.field("confidence", _SCORE, nullable=False),
)
_DISTRIBUTION = (
    pa.field("distribution_labels", pa.list_(pa.string())),
    pa.field("distribution_probabilities", pa.list_(pa.float32())),
)
_OWN = {
    Modality.VISION: (
        pa.field("emotion", _NAME, nullable=False),
        pa.field("distress_score", _SCORE, nullable=False),
        pa.field("frames_processed", pa.int32(), nullable=False),
        *_DISTRIBUTION,
    ),
    Modality.AUDIO: (
        pa.field("emotion", _NAME, nullable=False),
        pa.field("stress_score", _SCORE, nullable=False),
        *_DISTRIBUTION,
        *(pa.field(feature, pa.float32()) for feature in FEATURES),
    ),
    Modality.TEXT: (
        pa.field("risk_level", _NAME, nullable=False),
        pa.field("distress_probability", _SCORE, nullable=False),
        pa.field("valence", _SCORE),
        pa.field("crisis_signals", pa.list_(pa.string())),
        pa.field("code_switching", pa.bool_()),
        pa.field("first_person", _SCORE),
        pa.field("negation", _SCORE),
        pa.field("absolutes", _SCORE),
    ),
}
SCHEMAS = {modality: pa.schema([*_COMMON, *_OWN[modality]]) for modality in Modality}
# What the device found by names of a closed vocabulary, or as a number.
_CUES = ("crisis_signals", "code_switching", "first_person", "negation", "absolutes")


class ResearchFiles:
    """A folder that is there when everything is in it, and before and otherwise not. Files are their owner's alone.

    In memory are at most GROUP_ROWS rows of each dataset.
    """

    def __init__(self, folder: Path, metadata: Mapping[str, str], names: Names) -> None:
        """FileExistsError."""
        self._folder = folder
        self._partial = folder.with_name(f"{folder.name}.partial")
        self._metadata = metadata
        self._names = names
        self._files: dict[Modality, IO[bytes]] = {}
        self._writers: dict[Modality, Any] = {}
        self._rows: dict[Modality, list[dict[str, Any]]] = {modality: [] for modality in Modality}

    def __enter__(self) -> Self:
        if self._folder.exists():
            raise FileExistsError(f"{self._folder} is there already")
        self._partial.mkdir(mode=0o700)
        for modality, schema in SCHEMAS.items():
            path = self._partial / f"{dataset_of(modality)}.parquet"
            file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            self._files[modality] = file
            described = {"dataset": dataset_of(modality), "schema_version": SCHEMA_VERSION, **self._metadata}
            keys = {f"quietus.{key}": value for key, value in described.items()}
            self._writers[modality] = pq.ParquetWriter(file, schema.with_metadata(keys), compression="zstd")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for writer in self._writers.values():
            writer.close()
        for file in self._files.values():
            file.close()
        shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, anonymous_id: str, session: SessionStart, modality: Modality, row: Any) -> None:
        """`row` has the columns of the modality's table."""
        rows = self._rows[modality]
        rows.append(
            {
                "anonymous_id": anonymous_id,
                "session": self._names.of(session.session_id),
                "session_month": date(session.start.year, session.start.month, 1),
                "chunk": self._names.of(row.chunk_id),
                "start_offset_ms": offset_milliseconds(row.capture_start_time, session.start),
                "end_offset_ms": offset_milliseconds(row.capture_end_time, session.start),
                "model_version": row.model_version,
                "confidence": float(row.confidence),
                **_OWN_VALUES[modality](row),
            }
        )
        if len(rows) >= GROUP_ROWS:
            self._write(modality)

    def publish(self) -> None:
        for modality, writer in self._writers.items():
            self._write(modality)
            writer.close()
            self._files[modality].flush()
            os.fsync(self._files[modality].fileno())
        self._partial.rename(self._folder)

    def _write(self, modality: Modality) -> None:
        rows = self._rows[modality]
        if rows:
            self._writers[modality].write_batch(pa.RecordBatch.from_pylist(rows, schema=SCHEMAS[modality]))
            rows.clear()


def _vision(row: Any) -> dict[str, Any]:
    return {
        "emotion": row.emotion,
        "distress_score": float(row.distress_score),
        "frames_processed": row.frames_processed,
        **_distribution(row),
    }


def _audio(row: Any) -> dict[str, Any]:
    features = {feature: getattr(row, feature) for feature in FEATURES}
    return {"emotion": row.emotion, "stress_score": float(row.stress_score), **_distribution(row), **features}


def _text(row: Any) -> dict[str, Any]:
    cues = row.cues or {}
    return {
        "risk_level": row.risk_level,
        "distress_probability": float(row.distress_probability),
        "valence": None if row.valence is None else float(row.valence),
        **{name: cues.get(name) for name in _CUES},
    }


def _distribution(row: Any) -> dict[str, Any]:
    labels = None if row.distribution_labels is None else [EMOTIONS[label] for label in row.distribution_labels]
    return {"distribution_labels": labels, "distribution_probabilities": row.distribution_probabilities}


_OWN_VALUES = {Modality.VISION: _vision, Modality.AUDIO: _audio, Modality.TEXT: _text}
