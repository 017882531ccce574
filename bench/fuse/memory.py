"""fuse() on arrays, and the same chunks one by one in plain Python."""

import random
import time
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np

from services.fusion.models import SHIPPED, read_document
from services.fusion.science.fuse import fuse
from services.fusion.science.inputs import ChunkInputs, InputArrays, Said, Shown
from services.fusion.science.model import FusionModel, parse_model
from services.fusion.vocabulary import CrisisSignal, Emotion, Level
from tests.fusion.reference import reference

CHUNKS = 100_000
DISTINCT = 4_000
START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = timedelta(seconds=5)

Progress = Callable[[str, float], None]


def measure(seconds: float, progress: Progress) -> dict[str, float]:
    model = parse_model(read_document(SHIPPED)).model
    chunks = [some_chunk(random.Random(number), number) for number in range(DISTINCT)]
    arrays = repeated(InputArrays.of(chunks), CHUNKS // DISTINCT)
    fuse(model, arrays)
    rounds, spent = 0, 0.0
    while spent < seconds:
        start = time.perf_counter()
        fuse(model, arrays)
        spent += time.perf_counter() - start
        rounds += 1
        progress("in memory", spent / seconds)
    in_memory, scalar = rounds * CHUNKS / spent, scalar_rate(model, chunks)
    return {
        "memory_chunks_per_s": in_memory,
        "memory_vs_scalar": in_memory / scalar,
        "scalar_chunks_per_s": scalar,
    }


def scalar_rate(model: FusionModel, chunks: list[ChunkInputs]) -> float:
    start = time.perf_counter()
    for chunk in chunks:
        reference(model, chunk)
    return len(chunks) / (time.perf_counter() - start)


def some_chunk(random_numbers: random.Random, number: int) -> ChunkInputs:
    """Of eight, six have three modalities, and one of those only labels; two lack one."""
    start = START + number * WINDOW
    kind = number % 8
    return ChunkInputs(
        UUID(int=number),
        start,
        start + WINDOW,
        vision=None if kind == 6 else _shown(random_numbers, labels_only=kind == 5),
        audio=_shown(random_numbers, labels_only=kind == 5),
        text=None if kind == 7 else _said(random_numbers),
    )


def _shown(random_numbers: random.Random, *, labels_only: bool) -> Shown:
    weights = [random_numbers.random() for _ in Emotion]
    distribution = tuple(weight / sum(weights) for weight in weights)
    return Shown(
        emotion=random_numbers.choice(list(Emotion)),
        probability=_score(random_numbers),
        confidence=_score(random_numbers),
        distribution=None if labels_only else distribution,
        model_version="bench",
    )


def _said(random_numbers: random.Random) -> Said:
    return Said(
        level=random_numbers.choice(list(Level)),
        probability=_score(random_numbers),
        confidence=_score(random_numbers),
        valence=2.0 * _score(random_numbers) - 1.0,
        deflection=random_numbers.random() < 0.1,
        signals=frozenset(signal for signal in CrisisSignal if random_numbers.random() < 0.02),
        model_version="bench",
    )


def _score(random_numbers: random.Random) -> float:
    return random_numbers.randrange(10_001) / 10_000


def repeated(arrays: InputArrays, times: int) -> InputArrays:
    return InputArrays(*(np.concatenate([getattr(arrays, field.name)] * times) for field in fields(arrays)))
